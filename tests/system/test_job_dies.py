"""A job dies while its output still moves: it goes on, or is cancelled, as was settled before."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.model import TransferState
from tests.agent.lives import Emulator, made
from tests.backends.sites import until
from tests.cli.run import Ended, run

JOB = """
import os, signal, sys
import poststage
state_dir, site, source, destination, ends = sys.argv[1:]
settled = {"ends": True, "goes on": False, "as the site says": None}[ends]
with poststage.open_agent(state_dir, site=site) as agent:
    with agent.transfer("d", ends_with_job=settled) as transfer:
        transfer.add(source, destination)
    print(transfer.head.id, flush=True)
    signal.pause()
"""


class Job:
    """An application that hands a file over and computes on."""

    def __init__(self, life: Emulator, settled: str) -> None:
        paths = [life.state_dir, life.top / "site.toml", life.source, life.destination]
        command = [sys.executable, "-c", JOB, *map(str, paths), settled]
        self.life = life
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        life.temp = life.pfs / f".f.{self.process.stdout.readline().strip()}-0.poststage"

    def dies(self) -> None:
        """As the scheduler ends it: at once, and what it has begun goes on without it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture
def life() -> Iterator[Emulator]:
    """A burst buffer that needs five seconds for the file."""
    with made(Emulator) as one:
        assert isinstance(one, Emulator)
        yield one


def site_says(life: Emulator, *, ends: bool) -> None:
    path = life.top / "site.toml"
    path.write_text(f"[agent]\nends_with_job = {str(ends).lower()}\n{path.read_text()}")


def finalize(life: Emulator, *words: str) -> Ended:
    return run(
        "--dir", life.state_dir, "--site", life.top / "site.toml", *words, program="finalize"
    )


def at_its_backend(life: Emulator) -> TransferState:
    with life.earlier() as earlier:
        return earlier.test()


@pytest.mark.parametrize(
    ("settled", "site"),
    [("goes on", True), ("as the site says", False), ("ends", True), ("as the site says", True)],
)
def test_what_moves_when_the_job_dies_goes_on_unless_it_was_settled_otherwise(
    life: Emulator, settled: str, site: bool
) -> None:
    ends = settled == "ends" or (settled == "as the site says" and site)
    site_says(life, ends=site)
    job = Job(life, settled)
    life.copied(1)
    job.dies()
    assert at_its_backend(life) is TransferState.INPROGRESS
    if not ends:
        life.fault()
    ended = finalize(life)
    if ends:
        assert ended.code == 3, ended.err
        assert at_its_backend(life) is TransferState.CANCELED
        assert os.listdir(life.pfs) == []
    else:
        assert ended.code == 0, ended.err
        assert life.destination.read_bytes() == life.content
    assert life.source.read_bytes() == life.content


def test_while_the_job_lives_nothing_of_it_is_cancelled(life: Emulator) -> None:
    job = Job(life, "ends")
    life.copied(1)
    try:
        assert finalize(life, "--no-wait").code == 75
        assert at_its_backend(life) is TransferState.INPROGRESS
    finally:
        job.dies()
    assert finalize(life, "--no-wait").code == 3
    assert at_its_backend(life) is TransferState.CANCELED


def test_a_command_of_a_job_script_ends_with_it_too(life: Emulator, tmp_path: Path) -> None:
    words = ("--state-dir", life.state_dir, "--site", life.top / "site.toml", "--ends-with-job")
    source, destination = tmp_path / "f", life.pfs / "f"
    source.write_bytes(life.content)
    assert run("out", *words, "--dataset", "d", source, destination).code == 0
    until(lambda: bool(os.listdir(life.pfs)))
    assert finalize(life, "--no-wait").code == 3
    assert os.listdir(life.pfs) == []
