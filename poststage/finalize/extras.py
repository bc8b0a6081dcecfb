"""What is made when the files have their names: further hard links, and directories' modes."""

import os
import stat
from contextlib import suppress

from poststage import names
from poststage.durable import fsops
from poststage.errors import PoststageError
from poststage.finalize.conflict import step_aside
from poststage.finalize.observe import stamp
from poststage.finalize.outcome import Outcome, outcome, refused
from poststage.finalize.prepare import HELD_BACK, made_later
from poststage.finalize.seen import facts_of, is_prior
from poststage.finalize.work import Job, Work
from poststage.model import Entry, Verdict

_OWNER_WRITES = stat.S_IWUSR | stat.S_IXUSR


def make_link(job: Job, entry: Entry, work: Work) -> Outcome:
    """Give the file that `entry` is a further name of that name.

    Link under the temp name, then rename: the destination is never absent in between. Both
    names exist durably once both directories are synced.
    """
    waits = made_later(job)
    if waits is not None:
        return waits
    if work.hold:
        return outcome(Verdict.RUNNING, HELD_BACK)
    assert entry.link_to is not None  # the reader guarantees it
    base = job.verdict(entry.link_to)
    if base is not Verdict.PUBLISHED:
        return _without_base(base)
    try:
        return _linked(job.state.entries[entry.link_to], entry, job, work)
    except PoststageError as error:
        return outcome(Verdict.UNKNOWN, error.message, code=error.exit_code)
    except FileNotFoundError:
        return outcome(Verdict.LOST, "the file that it is a further name of is gone")
    except OSError as error:
        return refused("making the hard link", error)


def _without_base(base: Verdict | None) -> Outcome:
    reason = "the file that it is a further name of was not published"
    return outcome(Verdict.FAILED if base and base.final else Verdict.RUNNING, reason)


def _linked(base: Entry, entry: Entry, job: Job, work: Work) -> Outcome:
    base_dir, base_name = names.split(base.destination)
    directory, name = names.split(entry.destination)
    base_fd, dir_fd = work.dirs.fd(base_dir), work.dirs.fd(directory)
    origin = os.stat(base_name, dir_fd=base_fd, follow_symlinks=False)
    there = fsops.facts(dir_fd, name)
    with suppress(FileNotFoundError):
        fsops.unlink(dir_fd, entry.temp)  # of an earlier run; a name of this file, or of none
    if there is not None and there.st_ino == origin.st_ino:
        return outcome(Verdict.PUBLISHED)
    fsops.link(base_fd, base_name, dir_fd, entry.temp)
    if there is not None and is_prior(facts_of(there), entry.prior):
        fsops.replace(dir_fd, entry.temp, name)
        return outcome(Verdict.PUBLISHED, changed=True)
    try:
        fsops.publish(dir_fd, entry.temp, name)
    except FileExistsError:
        aside = step_aside(dir_fd, entry.temp, name, stamp(job.state.head.created_ns))
        reason = f"its destination is taken; the further name is {names.shown(aside)}"
        return outcome(Verdict.CONFLICT, reason, changed=True)
    return outcome(Verdict.PUBLISHED, changed=True)


def finish_directory(entry: Entry, job: Job, work: Work, *, last: bool) -> Outcome:
    """Give a directory that the agent made its recorded mode; durable on return.

    A mode that keeps its owner from writing waits until `last`: no transfer of the dataset
    still has a file to publish. One that stood there before is left as it is.
    """
    waits = made_later(job)
    if waits is not None and waits.verdict is not Verdict.FAILED:
        return waits
    if entry.prior is not None:
        return outcome(Verdict.PUBLISHED)
    if work.hold or not (last or entry.meta.mode & _OWNER_WRITES == _OWNER_WRITES):
        return outcome(Verdict.RUNNING, "its mode is set when no file in it is left to publish")
    try:
        return _with_mode(entry, work, make=waits is None)
    except PoststageError as error:
        return outcome(Verdict.UNKNOWN, error.message, code=error.exit_code)
    except FileNotFoundError:
        return waits or outcome(Verdict.LOST, "the directory above it is gone")
    except OSError as error:
        return refused("setting the directory's mode", error)


def _with_mode(entry: Entry, work: Work, *, make: bool) -> Outcome:
    parent, name = names.split(entry.destination)
    parent_fd = work.dirs.fd(parent)
    made = make and fsops.make_dir(parent_fd, name, entry.meta.mode | stat.S_IRWXU)
    fd = fsops.open_subdir(parent_fd, name)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) == entry.meta.mode and not made:
            return outcome(Verdict.PUBLISHED)
        fsops.set_mode(fd, entry.meta.mode)
        fsops.sync(fd)
    finally:
        os.close(fd)
    if made:
        fsops.sync(parent_fd)
    return outcome(Verdict.PUBLISHED, changed=True)
