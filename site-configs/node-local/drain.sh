#!/bin/sh
# Source this in a job script that writes to node-local disks: it drains before the end.
#
#   #SBATCH --signal=B:USR1@900        (Slurm; LSF: bsub -wa USR1 -wt 15; PBS: qsub -l … and qsig)
#   . /opt/poststage/libexec/drain.sh
#   poststage_run mpirun ./simulation --output "$BB/run"
#   poststage_drain
#
# Nothing copies when the allocation is over. So the script has to keep some of its time for the
# drain: the scheduler's warning signal comes that long before the end, stops the program, and
# what is handed over by then is waited for and finalized. What is not done by the end is STOPPED,
# on disk, and goes on with `poststage resume` in a job on the same nodes.
bin="/opt/poststage/bin"
site="/etc/poststage/site.toml"
deadline_s=840

PATH="$bin:$PATH"
POSTSTAGE_SITE="$site"
export PATH POSTSTAGE_SITE

poststage_warned=0
poststage_pid=
# The shell's own wait returns at once when the signal comes; the program is asked to end.
trap 'poststage_warned=1; [ -z "$poststage_pid" ] || kill -TERM "$poststage_pid" 2>/dev/null' USR1

# poststage_run COMMAND…: run it to its end, or to the scheduler's warning; its exit status.
poststage_run() {
  "$@" &
  poststage_pid=$!
  while :; do
    wait "$poststage_pid"
    poststage_status=$?
    kill -0 "$poststage_pid" 2>/dev/null || break
  done
  poststage_pid=
  return "$poststage_status"
}

# poststage_drain: wait for what was handed over, then give the files their names.
poststage_drain() {
  poststage wait --timeout "$deadline_s"
  finalize --deadline 60
}
