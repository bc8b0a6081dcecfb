"""Seeded bugs: variants of the finalizer, each with one line made wrong.

The test of the tests: the harness that is meant for a bug must find it.
"""

import shutil
from pathlib import Path

from msgspec import Struct

from tests.crash.forkserver import REPOSITORY


class Edit(Struct, frozen=True):
    """In `file` (below the package), `right` becomes `wrong`."""

    file: str
    right: str
    wrong: str


class Mutant(Struct, frozen=True):
    """A bug, where it shows, and which law it breaks there."""

    name: str
    edits: tuple[Edit, ...]
    case: str
    harness: str
    """uninterrupted, kill, refusal, failed sync or reordering."""
    law: str
    run: str = "as the owner"
    mode: int = 0o640


class StaleMutantError(Exception):
    """The place that a mutant changes is not there any more: write the mutant anew."""


def build(mutant: Mutant, directory: Path) -> Path:
    """A copy of the package with the bug in it; the directory to put on the import path.

    Raises:
        StaleMutantError: the code to be changed is not found exactly once.
    """
    shutil.copytree(
        REPOSITORY / "poststage",
        directory / "poststage",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for edit in mutant.edits:
        path = directory / "poststage" / edit.file
        text = path.read_text()
        if text.count(edit.right) != 1:
            raise StaleMutantError(f"{mutant.name}: {edit.file}: {edit.right!r}")
        path.write_text(text.replace(edit.right, edit.wrong))
    return directory


_OWNER = (
    "        fsops.set_owner(fd, _if_other(meta.uid, now.meta.uid), "
    "_if_other(meta.gid, now.meta.gid))\n"
)
_MODE = """        fsops.set_mode(fd, meta.mode)
        if meta.mode & _SPECIAL"""
_EXCHANGE = """    if not fsops.exchange(dir_fd, temp, name):
        fsops.replace(dir_fd, temp, name)


def drop_prior"""
_UNLINK_FIRST = """    fsops.unlink(dir_fd, name)
    fsops.publish(dir_fd, temp, name)


def drop_prior"""
_SYNC_DIRECTORIES = "    _sync_directories((_named(step) for step in steps), work)\n"
_DROP_REPLACED = "    _drop_replaced(steps, work)\n"
_FSYNC = """    try:
        fsops.sync(fd)
    except OSError as error:
"""
_FSYNC_TWICE = """    try:
        with suppress(OSError):
            fsops.sync(fd)
        fsops.sync(fd)
    except OSError as error:
"""

MUTANTS = (
    Mutant(
        "mode before owner",
        (
            Edit("finalize/metadata.py", _OWNER, "        fsops.set_mode(fd, meta.mode)\n"),
            Edit(
                "finalize/metadata.py",
                _MODE,
                _OWNER
                + _MODE.splitlines()[1].replace("meta.mode & _SPECIAL", "owner and meta.mode & 0"),
            ),
        ),
        "publish",
        "uninterrupted",
        "law 1",
        "as root for others",
        0o4755,
    ),
    Mutant(
        "the name before the metadata, in the tight loop",
        (
            Edit("finalize/express.py", "        _restore(fd, info, record)\n", ""),
            Edit(
                "finalize/express.py",
                "            named.append(row)\n",
                """            fd = os.open(row[3], _OPEN, dir_fd=dir_fd)
            _restore(fd, os.fstat(fd), row[4])
            os.close(fd)
            named.append(row)
""",
            ),
        ),
        "publish",
        "kill",
        "law 1",
    ),
    Mutant(
        "no fsync of the directory, in the tight loop",
        (Edit("finalize/express.py", "        fsops.sync(place.fd)\n", "        pass\n"),),
        "publish",
        "reordering",
        "law 2: committed",
    ),
    Mutant(
        "errors of restoring swallowed, in the tight loop",
        (
            Edit(
                "finalize/express.py",
                "    except OSError:\n        return False\n    finally:\n        os.close(fd)\n",
                "    except OSError:\n        return True\n    finally:\n        os.close(fd)\n",
            ),
        ),
        "publish",
        "refusal",
        "law 1",
    ),
    Mutant(
        "the size not looked at, in the tight loop",
        (Edit("finalize/express.py", "info.st_size == record.size", "info.st_size >= 0"),),
        "short",
        "uninterrupted",
        "law 1",
    ),
    Mutant(
        "no sync of the files, in the tight loop",
        (
            Edit(
                "finalize/express.py", "        fsops.sync_filesystem(place.fd)\n", "        pass\n"
            ),
        ),
        "publish",
        "reordering",
        "law 1",
    ),
    Mutant(
        "the name before the metadata",
        (
            Edit(
                "finalize/prepare.py",
                "changed = metadata.restore(fd, temp, entry.meta)",
                "changed = True",
            ),
            Edit(
                "finalize/place.py",
                "    changed = step.changed or",
                """    if plan.verdict is Verdict.PUBLISHED and step.seen.temp is not None:
        from poststage.finalize import metadata
        fd = fsops.open_file(dir_fd, names.split(step.seen.entry.destination)[1])
        metadata.restore(fd, metadata.facts_now(fd), step.seen.entry.meta)
    changed = step.changed or""",
            ),
        ),
        "replacing",
        "kill",
        "law 1",
    ),
    Mutant(
        "no fsync of the directory",
        (
            Edit(
                "finalize/apply.py",
                "            fsops.sync(work.dirs.fd(directory))\n",
                "            pass\n",
            ),
        ),
        "replacing",
        "reordering",
        "law 2: committed",
    ),
    Mutant(
        "no sync of the files",
        (
            Edit(
                "durable/fsops.py",
                "    _call(_libc.syncfs, fd)\n",
                "",
            ),
        ),
        "publish",
        "reordering",
        "law 1",
    ),
    Mutant(
        "the state file set aside whatever came of it",
        (
            Edit(
                "finalize/commit.py",
                "all(job.verdict(index) is Verdict.PUBLISHED for",
                "all(index >= 0 for",
            ),
        ),
        "replacing",
        "refusal",
        "law 2: committed",
    ),
    Mutant(
        "publish by replacing",
        (
            Edit(
                "durable/fsops.py",
                "        _renameat2(dir_fd, temp, destination, _RENAME_NOREPLACE)\n",
                "        replace(dir_fd, temp, destination)\n",
            ),
        ),
        "conflict_newer",
        "uninterrupted",
        "law 2: what stood",
    ),
    Mutant(
        "deleting after an unknown answer",
        (
            Edit(
                "finalize/work.py",
                "TransferState.UNKNOWN: Fate.UNKNOWN",
                "TransferState.UNKNOWN: Fate.FAILED",
            ),
        ),
        "unanswered",
        "uninterrupted",
        "law 8",
    ),
    Mutant(
        "an unknown answer rounded to success",
        (
            Edit(
                "finalize/work.py",
                "TransferState.UNKNOWN: Fate.UNKNOWN",
                "TransferState.UNKNOWN: Fate.DONE",
            ),
        ),
        "unanswered",
        "uninterrupted",
        "law 1",
    ),
    Mutant(
        "the size not looked at",
        (
            Edit(
                "finalize/plan.py", "    if temp.meta.size != entry.meta.size:\n", "    if False:\n"
            ),
        ),
        "short",
        "uninterrupted",
        "law 1",
    ),
    Mutant(
        "a failed transfer's destination deleted",
        (
            Edit(
                "finalize/place.py",
                "    elif action is Action.DELETE:\n        fsops.unlink(dir_fd, entry.temp)\n",
                "    elif action is Action.DELETE:\n        fsops.unlink(dir_fd, name)\n",
            ),
        ),
        "failed",
        "uninterrupted",
        "law 1",
    ),
    Mutant(
        "the old version unlinked first",
        (
            Edit(
                "finalize/conflict.py",
                _EXCHANGE,
                _UNLINK_FIRST,
            ),
        ),
        "replacing",
        "kill",
        "law 1",
    ),
    Mutant(
        "what was replaced dropped before the new name is durable",
        (
            Edit(
                "finalize/apply.py",
                _SYNC_DIRECTORIES + _DROP_REPLACED,
                _DROP_REPLACED + _SYNC_DIRECTORIES,
            ),
        ),
        "replacing",
        "reordering",
        "law 2",
    ),
    Mutant(
        "times as floating point seconds",
        (
            Edit(
                "durable/fsops.py",
                "        os.utime(fd, ns=(atime_ns, mtime_ns))\n",
                "        os.utime(fd, (atime_ns / 1e9, mtime_ns / 1e9))\n",
            ),
        ),
        "publish",
        "uninterrupted",
        "law 1",
    ),
    Mutant(
        "the time of the last reading forgotten",
        (
            Edit(
                "durable/fsops.py",
                "        os.utime(fd, ns=(atime_ns, mtime_ns))\n",
                "        os.utime(fd, ns=(mtime_ns, mtime_ns))\n",
            ),
        ),
        "publish",
        "uninterrupted",
        "law 6",
    ),
    Mutant(
        "errors of restoring swallowed",
        (
            Edit(
                "finalize/prepare.py",
                '        return refused("restoring owner, mode and times", error)\n',
                "        changed = bool(error)\n",
            ),
        ),
        "replacing",
        "refusal",
        "law 1",
    ),
    Mutant(
        "a failed fsync tried again",
        (
            Edit(
                "finalize/syncing.py",
                _FSYNC,
                _FSYNC_TWICE,
            ),
        ),
        "publish",
        "failed sync",
        "law 7",
    ),
    Mutant(
        "a torn tail written on",
        (
            Edit(
                "durable/journal.py",
                "    if os.fstat(fd).st_size > whole_bytes:\n",
                "    if False:\n",
            ),
        ),
        "failed",
        "kill",
        "law 5",
    ),
    Mutant(
        "exit 0 whatever was refused",
        (
            Edit(
                "finalize/outcome.py",
                "in _NOT_PERMITTED else ExitCode.RUN_AGAIN",
                "in _NOT_PERMITTED else ExitCode.OK",
            ),
        ),
        "replacing",
        "refusal",
        "law 4",
    ),
)
