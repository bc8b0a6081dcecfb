"""A temp file's name leads to the transfer that may still write it, its record there or not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage import config, names
from poststage.agent import open_agent, zombie
from poststage.agent.known import Probes
from poststage.agent.zombie import Zombie
from poststage.errors import BackendError, UsageError
from poststage.model import TransferState
from tests.agent.lives import Emulator, made
from tests.cli.run import Ended, run

TAG = "0123456789abcdef"


@pytest.fixture
def life() -> Iterator[Emulator]:
    """A transfer that runs, and whose job and state file are gone."""
    with made(Emulator) as one:
        assert isinstance(one, Emulator)
        one.fault(limit_mb_s=1)
        one.begun()
        one.copied(1)
        one.state_file.unlink()
        yield one


def cancel(life: Emulator, found: Zombie, *backends: str) -> TransferState:
    with Probes(config.load(life.top / "site.toml"), life.state_dir) as probes:
        return zombie.cancel(found, probes, backends or ("local", "emulator")).state


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (names.temp_name(b"data", TAG, 7), Zombie(tag=TAG)),
        (names.temp_name(b"n\nl" * 80, TAG, 12345), Zombie(tag=TAG)),
        (names.temp_name(names.temp_name(b"x", "f" * 16, 1), TAG, 0), Zombie(tag=TAG)),
        (b"f._AXL77", Zombie(handle="77", backend="bbapi")),
        (b"f._AXL1._AXL22517998136852481", Zombie(handle="22517998136852481", backend="bbapi")),
    ],
)
def test_a_temp_name_tells_whose_it_is(name: bytes, found: Zombie) -> None:
    assert zombie.of_temp(name) == found


@pytest.mark.parametrize(
    "name",
    [b"data", b"f._AXL", b"f._AXLx", b".f.0123-0.poststage", b".f." + b"g" * 16 + b"-0.poststage"],
)
def test_another_name_names_nobody(name: bytes) -> None:
    with pytest.raises(UsageError, match="names no transfer"):
        zombie.of_temp(name)


def test_a_transfer_of_an_old_job_is_cancelled_by_its_temp_files_name_alone(life: Emulator) -> None:
    assert cancel(life, zombie.of_temp(life.temp.name.encode())) is TransferState.CANCELED
    assert not life.temp.exists()


def test_who_knows_it_is_asked_after_those_who_do_not(life: Emulator) -> None:
    assert cancel(life, zombie.of_temp(life.temp.name.encode()), "local", "emulator").ended


def test_one_that_nobody_knows_is_said_to_be_so(life: Emulator) -> None:
    with pytest.raises(UsageError, match="no backend knows it"):
        cancel(life, Zombie(tag=TAG))


def test_while_one_does_not_answer_nobody_says_that_it_is_unknown(life: Emulator) -> None:
    life.kill()
    with pytest.raises(BackendError, match="nothing was cancelled"):
        cancel(life, Zombie(tag=TAG))


def test_from_a_new_jobs_agent(life: Emulator) -> None:
    with open_agent(life.state_dir, site=life.top / "site.toml") as agent:
        assert agent.cancel_temp(life.temp) is TransferState.CANCELED
        with pytest.raises(UsageError, match="names no transfer"):
            agent.cancel_temp(b"/pfs/data")
    assert not life.temp.exists()


def command(life: Emulator, temp: Path) -> Ended:
    site = life.top / "site.toml"
    return run("cancel", "--dir", life.state_dir, "--temp", temp, "--site", site, "--json")


def test_by_the_command(life: Emulator) -> None:
    ended = command(life, life.temp)
    assert ended.code == 0, ended.err
    [document] = ended.json()
    assert document["state"] == "CANCELED"
    assert command(life, life.temp).code == 0


def test_by_the_command_an_axl_handle_needs_its_backend(life: Emulator) -> None:
    ended = command(life, Path("/lustre/me/f._AXL77"))
    assert ended.code == 75
    assert "bbapi is not allowed here" in ended.err
