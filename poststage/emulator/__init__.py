"""A vendor's burst buffer in a box: the copying daemon with its manners, and faults on demand."""
