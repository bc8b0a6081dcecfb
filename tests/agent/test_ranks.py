"""Who started us, how many we are, and that all fail together; MPI itself is in tests/mpi."""

import os
from collections.abc import Mapping
from typing import Any

import pytest

from poststage.agent import ranks
from poststage.agent.ranks import Failure, Ranks
from poststage.errors import ExitCode, SourceError, UsageError


@pytest.mark.parametrize(
    "env",
    [
        {"PMI_RANK": "0", "PMI_SIZE": "1"},
        {"PMIX_RANK": "3"},
        {"OMPI_COMM_WORLD_RANK": "0"},
        {"JSM_NAMESPACE_RANK": "0"},
        {"PALS_RANKID": "0"},
        {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"},
    ],
)
def test_a_launched_process_knows_it(env: Mapping[str, str]) -> None:
    assert ranks.is_launched(env)


@pytest.mark.parametrize(
    "env",
    [
        {},
        # A batch script: the job has tasks, this process is none of them.
        {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "64", "SLURM_PROCID": "0", "SLURM_NPROCS": "64"},
        {"SLURM_STEP_NUM_TASKS": "1"},  # salloc's interactive step
        {"SLURM_STEP_NUM_TASKS": "many"},
        {"FLUX_JOB_ID": "f1"},
    ],
)
def test_a_process_of_a_script_is_not_launched(env: Mapping[str, str]) -> None:
    assert not ranks.is_launched(env)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "1"}, "srun started 4 processes"),
        ({"OMPI_COMM_WORLD_SIZE": "8"}, "the launcher started 8 processes"),
        ({"PMI_SIZE": "2", "SLURM_STEP_NUM_TASKS": "1"}, r"2 processes \(PMI_SIZE\)"),
    ],
)
def test_many_processes_that_are_each_alone_are_refused(env: Mapping[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        ranks.require_real_world(1, env)
    assert ("srun --mpi=pmix" in caught.value.hint) is ("srun" in said)


@pytest.mark.parametrize(
    ("size", "env"),
    [
        (1, {}),
        (4, {"SLURM_STEP_NUM_TASKS": "4"}),
        (1, {"PMI_SIZE": "1"}),
        # hydra, started by srun with one proxy on each of two nodes, started one process
        (1, {"PMI_SIZE": "1", "SLURM_STEP_NUM_TASKS": "2"}),
    ],
)
def test_a_world_as_large_as_announced_is_accepted(size: int, env: Mapping[str, str]) -> None:
    ranks.require_real_world(size, env)


def test_one_process_alone_is_the_first_of_everything() -> None:
    with ranks.job({}) as here:
        assert (here.rank, here.size, here.node, here.nodes) == (0, 1, 0, 1)
        assert here.everyone("x") == here.collect("x", job_wide=True) == ["x"]
        assert here.total(3) == 3
        assert here.from_first("x") == here.deal(["x"], job_wide=False) == "x"


def test_one_process_alone_fails_with_its_own_error() -> None:
    with pytest.raises(SourceError, match="gone"), Ranks().together():
        raise SourceError("gone")


def failure(message: str) -> Failure:
    return Failure(message, "", int(ExitCode.USAGE))


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        ([failure("no"), failure("no")], "no"),
        ([None, failure("no"), None], "rank 1: no"),
        ([None, failure("a"), failure("b")], "rank 1: a (and 1 more of 3 ranks failed)"),
        ([failure("a"), None, failure("a")], "rank 0: a (and 1 more of 3 ranks failed)"),
    ],
)
def test_what_went_wrong_is_said_once(failures: list[Failure | None], said: str) -> None:
    assert ranks.said(failures) == said


def test_an_mpi_that_cannot_be_loaded_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mpi4py", None)
    with (
        pytest.raises(UsageError, match="MPI cannot be loaded") as caught,
        ranks.job({"PMI_RANK": "0"}),
    ):
        pass
    assert "poststage[mpi]" in caught.value.hint


def test_the_launchers_variables_are_those_of_the_environment() -> None:
    assert not ranks.is_launched({k: v for k, v in os.environ.items() if k.startswith("PYTEST")})


class Large:
    """A communicator of many ranks, of which nobody is to hear of everybody."""

    rank, size = 5, 100_000

    def allreduce(self, sendobj: Any) -> Any:
        """What one rank says, of all of them."""
        return sendobj * self.size

    def scan(self, sendobj: Any) -> Any:
        """What one rank says, of those up to this one."""
        return sendobj * (self.rank + 1)

    def bcast(self, sendobj: Any) -> Any:
        """The first one's."""
        return sendobj


def test_where_nothing_fails_no_rank_hears_of_every_other() -> None:
    here = Ranks(Large(), Large())  # type: ignore[arg-type] # an allgather has nothing to call
    with here.together():
        assert here.total(1) == Large.size
    with pytest.raises(AttributeError, match="allgather"):
        here.everyone("x")
