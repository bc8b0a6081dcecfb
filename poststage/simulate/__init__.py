"""A STATEDIR of any size without a job, finalized and timed: what a site's own will take."""
