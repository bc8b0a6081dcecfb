#!/bin/sh
# Flux job-manager epilog (an executable in /etc/flux/system/epilog.d): finalize what a job's
# agents registered, in the background.
#
# Flux runs it as root when the job's tasks are gone, with FLUX_JOB_ID and FLUX_JOB_USERID. On a
# Rabbit the data move after that: the finalizer waits until Flux says that they have, and an epilog
# that waited for it could hold up the very move. So it starts the finalizer and returns.
bin="/opt/poststage/bin"
site="/etc/poststage/site.toml"
log="/var/log/poststage"
deadline_s=86400

PATH=/usr/local/bin:/usr/bin:/bin
export PATH
umask 077
mkdir -p "$log" || exit 1
cd / || exit 1

# As root the finalizer becomes the job's owner before it reads a byte of the user's.
"$bin/finalize" --detach --scheduler flux --job "$FLUX_JOB_ID" --user "$FLUX_JOB_USERID" \
  --site "$site" --deadline "$deadline_s" </dev/null >>"$log/$FLUX_JOB_ID.log" 2>&1
[ $? = 75 ]  # it runs
