"""Opening an agent: where it records, for which part, with which backend; what it refuses."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import poststage
from poststage.agent.agent import job_id
from poststage.errors import UsageError
from tests.agent.conftest import Vendor, state_of


class Rank:
    """A communicator of which a rank is known: an application's own, not MPI's world."""

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size

    def Get_rank(self) -> int:  # noqa: N802 - MPI's name
        return self._rank

    def Get_size(self) -> int:  # noqa: N802 - MPI's name
        return self._size


def test_the_state_directory_is_from_the_environment_if_not_given(
    vendor: Vendor, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTSTAGE_STATE_DIR", str(state_dir))
    assert poststage.open_agent().state_dir == state_dir
    assert poststage.open_agent(state_dir / "other").state_dir == state_dir / "other"


def test_no_state_directory_is_an_error(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTSTAGE_STATE_DIR", raising=False)
    with pytest.raises(UsageError, match="none was named") as caught:
        poststage.open_agent()
    assert "POSTSTAGE_STATE_DIR" in caught.value.hint


@pytest.mark.parametrize("empty", ["", b""])
def test_an_empty_name_is_not_the_environments_state_directory(
    vendor: Vendor, state_dir: Path, monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    monkeypatch.setenv("POSTSTAGE_STATE_DIR", str(state_dir))
    with pytest.raises(UsageError, match="its name is empty"):
        poststage.open_agent(empty)


def test_opening_makes_nothing(vendor: Vendor, state_dir: Path) -> None:
    with poststage.open_agent(state_dir):
        pass
    assert not state_dir.exists()
    assert list(vendor.ledger.iterdir()) == []


def test_a_backend_that_the_site_does_not_allow_is_refused(vendor: Vendor, state_dir: Path) -> None:
    with pytest.raises(UsageError, match="is not allowed here"):
        poststage.open_agent(state_dir, backend="other")


def test_a_rank_is_a_part(vendor: Vendor, state_dir: Path) -> None:
    with poststage.open_agent(state_dir, comm=Rank(2, 5)) as agent:
        head = agent.transfer("set").head
    assert (head.part, head.parts, head.backend) == (2, 5, "stub")


def test_the_part_can_be_given(vendor: Vendor, state_dir: Path) -> None:
    with poststage.open_agent(state_dir) as agent, agent.transfer("set", 3, 4) as transfer:
        pass
    assert (transfer.head.part, transfer.head.parts) == (3, 4)
    assert transfer.state_file.endswith(b"/set/3.state")


@pytest.mark.parametrize(("part", "parts"), [(1, 1), (-1, 2), (0, 0), (5, 2)])
def test_a_part_that_cannot_be_is_refused(
    vendor: Vendor, state_dir: Path, part: int, parts: int
) -> None:
    with (
        poststage.open_agent(state_dir) as agent,
        pytest.raises(UsageError, match=f"part {part} of {parts}"),
    ):
        agent.transfer("set", part, parts)


@pytest.mark.parametrize("dataset", ["", "x" * 300])
def test_a_dataset_that_cannot_be_a_directory_is_refused(
    vendor: Vendor, state_dir: Path, dataset: str
) -> None:
    with poststage.open_agent(state_dir) as agent, pytest.raises(UsageError, match="dataset"):
        agent.transfer(dataset)


def test_leaving_the_agent_dispatches_what_is_open(
    vendor: Vendor, state_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    with poststage.open_agent(state_dir) as agent:
        transfer = agent.transfer("set")
        transfer.add(tmp_path / "file", tmp_path / "to")
    assert state_of(transfer.state_file).started


def test_an_error_in_the_agents_block_discards_what_is_open(
    vendor: Vendor, state_dir: Path
) -> None:
    with poststage.open_agent(state_dir) as agent:
        transfer = agent.transfer("set")
        agent.close()
    assert not os.path.lexists(transfer.state_file)


def test_every_transfer_has_its_own_id(vendor: Vendor, state_dir: Path) -> None:
    with poststage.open_agent(state_dir) as agent:
        ids = {agent.transfer("set", part, 20).head.id for part in range(20)}
    assert len(ids) == 20
    assert all(len(one) == 16 and set(one) <= set("0123456789abcdef") for one in ids)


def test_the_jobs_name_is_the_schedulers() -> None:
    assert job_id({}) == ""
    assert job_id({"PBS_JOBID": "7.server", "POSTSTAGE_JOB_ID": "x"}) == "7.server"
    assert job_id({"SLURM_JOB_ID": "", "FLUX_JOB_ID": "ƒ1"}) == "ƒ1"


def loaded_by(code: str, vendor: Vendor) -> Sequence[str]:
    """Names of the modules that a Python process has loaded after `code`."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=vendor.environment(),
        capture_output=True,
        check=True,
        text=True,
    )
    modules: list[str] = json.loads(done.stdout)
    return modules


def test_an_application_without_mpi_loads_none(vendor: Vendor, tmp_path: Path) -> None:
    code = f"import poststage; poststage.open_agent({str(tmp_path / 's')!r}).transfer('x').close()"
    modules = loaded_by(code, vendor)
    assert "poststage.agent.transfer" in modules
    assert not {"mpi4py", "click", "rich"} & set(modules)


def test_the_package_alone_loads_no_agent(vendor: Vendor) -> None:
    assert "poststage.agent" not in loaded_by("import poststage", vendor)
