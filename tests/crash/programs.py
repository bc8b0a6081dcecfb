"""The real commands as functions of JSON-able arguments, for the fork server."""

import json
import os
import pkgutil
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path

from msgspec.structs import replace

import poststage
from poststage import config
from poststage.agent import Transfer
from poststage.cli.main import finalize_main, main
from poststage.config import Settings
from poststage.errors import ExitCode, PoststageError
from poststage.finalize import worker
from poststage.finalize.options import options_of
from poststage.finalize.privs import owner_of
from poststage.finalize.report import to_json

# What is imported when it is first used: a process that has given up root may not be able
# to read the interpreter's files any more, so the server has it all beforehand.
MODULES = (
    "tests.crash.programs",
    "tests.crash.vendor",
    *sorted(
        one.name
        for one in pkgutil.walk_packages(poststage.__path__, "poststage.")
        if not one.name.endswith("__main__")
    ),
    "syslog",
    "xxhash",
)


def hand_over(state_dir: str, site: str, source: str, destination: str) -> int:
    """An application that hands a directory over, by the Python API."""
    from poststage.agent import open_agent

    try:
        with open_agent(state_dir, site=site) as agent, agent.transfer("d") as transfer:
            transfer.add_tree(source, destination)
    except PoststageError as error:
        print(error)
        return int(error.exit_code)
    return 0


def use_everything(state_dir: str, site: str, source: str, destination: str) -> int:
    """Each public call of the Python API, one after the other; an error of ours ends that call."""
    from poststage.agent import open_agent

    with suppress(PoststageError), open_agent(state_dir, site=site) as agent:
        for dataset in ("d", "e", "d"):
            with suppress(PoststageError):
                transfer = agent.transfer(dataset, existing="new")
                _use_transfer(transfer, source, destination, ends=dataset == "d")
        with suppress(PoststageError), agent.open("d") as earlier:
            calls = (earlier.test, partial(earlier.wait, 0), earlier.state, earlier.resume)
            _each(*calls, earlier.cancel, earlier.forget, earlier.remove)
    return 0


def _use_transfer(transfer: Transfer, source: str, destination: str, *, ends: bool) -> None:
    _each(
        partial(transfer.add, f"{source}/one", f"{destination}/one", checksum=True),
        partial(transfer.add_tree, f"{source}/sub", f"{destination}/sub"),
        transfer.test,
        transfer.dispatch if ends else transfer.discard,
        transfer.test,
        partial(transfer.wait, 0),
        transfer.cancel,
        transfer.close,
    )


def _each(*calls: Callable[[], object]) -> None:
    for call in calls:
        with suppress(PoststageError):
            call()


class _NoWatch:
    """Lets everything through."""

    def allow(self, offset: int, want: int) -> int:
        return want

    def go_on(self) -> None:
        pass

    def resumed(self, offset: int) -> None:
        pass

    def proven(self, offset: int) -> None:
        pass

    def final_size(self, size: int) -> int:
        return size


def copy(source: str, directory: str, temp: str) -> int:
    """The copy engine on one file; 75 where it refuses, with its reason."""
    from poststage.copier.engine import CopyError, Order
    from poststage.copier.settling import copy_file

    try:
        source_fd, dir_fd = os.open(source, os.O_RDONLY), os.open(directory, os.O_RDONLY)
        info = os.fstat(source_fd)
        order = Order(source_fd, dir_fd, os.fsencode(temp), info.st_size, info.st_mtime_ns)
        copy_file(replace(order, prove_bytes=4096), _NoWatch())
    except (CopyError, OSError) as error:
        print(error)
        return int(ExitCode.RUN_AGAIN)
    return 0


def copies(sources: str, directory: str) -> int:
    """The copy engine on all files of a directory, made durable together."""
    from poststage.copier.engine import CopyError, Order, write_file
    from poststage.copier.settling import settle

    written = []
    try:
        for name in sorted(os.listdir(sources)):
            source_fd = os.open(os.path.join(sources, name), os.O_RDONLY)
            info, dir_fd = os.fstat(source_fd), os.open(directory, os.O_RDONLY)
            order = Order(source_fd, dir_fd, os.fsencode(name), info.st_size, info.st_mtime_ns)
            written.append(write_file(order, _NoWatch()))
        failed = [one for one in settle(written) if isinstance(one, CopyError)]
    except (CopyError, OSError) as error:
        failed = [CopyError(str(error))]
    print(*failed)
    return int(ExitCode.RUN_AGAIN) if failed else 0


def forget(state_dir: str, site: str) -> None:
    """`poststage forget --dir STATE_DIR`; never returns."""
    main(["forget", "--dir", state_dir, "--site", site])


def work(state_dir: str, site: str, publish: str) -> int:
    """What the worker of `finalize` does, in this process: no command line, nobody who waits.

    It makes the same calls below STATEDIR (test_finalize_sweep.py compares them) for a third of
    the time. Returns the exit status.

    One at once, as it chooses itself where calls are quick: on a busy machine they are not, and
    with two the calls would have no one order.
    """
    path = Path(state_dir)
    settings = _settings(site)
    whom = partial(owner_of, os.fsencode(path), None, settings.trusted_state_dirs)
    options = options_of(settings, publish=publish, deadline_s=20, wait=False, jobs=1)
    try:
        report = worker.outcome(worker.answered(whom, path, options, lambda: False))
    except PoststageError as error:
        print(error.message)
        return int(error.exit_code)
    print(json.dumps(to_json(report)))
    return int(report.exit_code)


def warm(state_dir: str, site: str, publish: str) -> None:
    """Let the server do what its children do: they find its code and caches warmed up."""
    for _ in range(20):
        work(state_dir, site, publish)


@lru_cache
def _settings(site: str) -> Settings:
    return config.load(Path(site))


def finalize(state_dir: str, site: str, publish: str) -> None:
    """`finalize --dir STATE_DIR --no-wait --json` as whoever runs this; never returns."""
    fixed = ("--no-wait", "--json", "--deadline", "20", "--jobs", "1")
    finalize_main(["--dir", state_dir, "--site", site, "--publish", publish, *fixed])
