"""Where this process stands among those of its job. The only module that imports mpi4py.

MPI is imported only where the environment shows a launcher: one process alone needs none.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from msgspec import Struct

from poststage.agent import heard
from poststage.errors import ExitCode, PoststageError, UsageError, worst

if TYPE_CHECKING:
    from mpi4py import MPI

Value = TypeVar("Value")

# Each launcher's variables: present in every process that it starts for MPI.
_RANK_VARIABLES = (
    "PMI_RANK",  # MPICH's hydra, srun --mpi=pmi2, Cray PALS
    "PMIX_RANK",  # srun --mpi=pmix, prterun, flux
    "OMPI_COMM_WORLD_RANK",  # Open MPI's mpirun, jsrun
    "JSM_NAMESPACE_RANK",  # IBM jsrun
    "PALS_RANKID",  # Cray PALS
    "MV2_COMM_WORLD_RANK",  # MVAPICH2
)
# How many processes the launcher started; the innermost launcher is asked first, because
# hydra itself may have been started by srun, one proxy a node.
_SIZE_VARIABLES = (
    "PMI_SIZE",
    "OMPI_COMM_WORLD_SIZE",
    "MV2_COMM_WORLD_SIZE",
    "JSM_NAMESPACE_SIZE",
    "SLURM_STEP_NUM_TASKS",
)


class Communicator(Protocol):
    """What `open_agent` needs of an MPI communicator; mpi4py's have it."""

    def Get_rank(self) -> int:  # noqa: N802 - MPI's name
        """This process's number."""

    def Get_size(self) -> int:  # noqa: N802 - MPI's name
        """How many processes there are."""


class Failure(Struct, frozen=True):
    """What went wrong on one rank, as the others are told."""

    message: str
    hint: str
    exit_code: int


def is_launched(env: Mapping[str, str]) -> bool:
    """Whether a launcher started this process as one of a parallel program's."""
    if any(name in env for name in _RANK_VARIABLES):
        return True
    return announced_size(env)[1] > 1


def announced_size(env: Mapping[str, str]) -> tuple[str, int]:
    """The variable that tells how many processes were launched, and the number; ("", 1) if none."""
    for name in _SIZE_VARIABLES:
        if env.get(name, "").isdecimal():
            return name, int(env[name])
    return "", 1


def require_real_comm(comm: Communicator, env: Mapping[str, str]) -> None:
    """`require_real_world` for a communicator of the application: COMM_SELF is fine.

    Raises:
        UsageError: the launcher started several processes, and MPI's world is of one.
    """
    if comm.Get_size() == 1 and announced_size(env)[1] > 1:
        require_real_world(_load_mpi().COMM_WORLD.size, env)


def require_real_world(size: int, env: Mapping[str, str]) -> None:
    """Refuse a job in which MPI takes every process for the only one.

    Raises:
        UsageError: the launcher started several processes, and MPI's world is of one.
    """
    name, announced = announced_size(env)
    if size > 1 or announced <= 1:
        return
    launcher = "srun" if name.startswith("SLURM") else "the launcher"
    advice = (
        "start it with `srun --mpi=pmix` or `srun --mpi=pmi2` (`srun --mpi=list` tells which "
        "there are), or with the mpirun that belongs to this Python's MPI"
        if launcher == "srun"
        else "start it with the mpirun that belongs to this Python's MPI"
    )
    raise UsageError(
        f"MPI: {launcher} started {announced} processes ({name}), and each takes itself for "
        "rank 0 of 1; nothing was recorded",
        hint=advice,
    )


class Ranks:
    """This process among its job's: numbers, and the few exchanges that commands need.

    Every method is collective: all ranks call it, in the same order. With one process
    each is the plain thing.
    """

    def __init__(
        self, world: "MPI.Intracomm | None" = None, node: "MPI.Intracomm | None" = None
    ) -> None:
        self._world, self._on_node = world, node
        self.rank, self.size = (world.rank, world.size) if world else (0, 1)
        self.node_rank, self.node_size = (node.rank, node.size) if node else (0, 1)
        self.node, self.nodes = self._number_nodes()
        self.agreed = False
        """Whether all ranks know of the error that is ending the command."""

    def everyone(self, value: Value) -> list[Value]:
        """Every rank's `value`, by rank, on all ranks: of many ranks, for what seldom happens."""
        return [value] if self._world is None else self._world.allgather(value)

    def total(self, value: Value) -> Value:
        """The sum (+) of all ranks' values, on all ranks; none sees more than a few others'."""
        return value if self._world is None else self._world.allreduce(value)

    def from_first(self, value: Value) -> Value:
        """Rank 0's `value`, on all ranks."""
        return value if self._world is None else self._world.bcast(value)

    def deal(self, pieces: Sequence[Value] | None, *, job_wide: bool) -> Value:
        """One of `pieces` for each rank of the node (of the job), from its first rank's list."""
        comm = self._world if job_wide else self._on_node
        if comm is not None:
            piece: Value = comm.scatter(pieces)
            return piece
        assert pieces is not None
        return pieces[0]

    def collect(self, value: Value, *, job_wide: bool) -> list[Value]:
        """The node's (the job's) values on its first rank, by rank; none on the others."""
        comm = self._world if job_wide else self._on_node
        return [value] if comm is None else comm.gather(value) or []

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run the block on all ranks; if it fails on one, it fails on all, with one message.

        Rank 0 raises the error with what went wrong where; the others exit silently with
        its exit code. So nobody waits in an exchange for a rank that has failed.

        Raises:
            PoststageError: on rank 0. SystemExit: on the others.
        """
        failure: Failure | None = None
        cause: Exception | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001 - told to all ranks and raised on rank 0
            failure, cause = failure_of(error), error
        if self.total(int(failure is not None)):
            self._fail(self.everyone(failure), cause)

    def _fail(self, failures: Sequence[Failure | None], cause: Exception | None) -> NoReturn:
        self.agreed = True
        codes = {ExitCode(one.exit_code) for one in failures if one is not None}
        if self.rank != 0:
            raise SystemExit(int(worst(codes)))
        if self.size == 1 and cause is not None:
            raise cause
        error = PoststageError(said(failures), hint=_first_hint(failures))
        error.exit_code = worst(codes)
        raise error from cause

    def _number_nodes(self) -> tuple[int, int]:
        """This node's number and how many there are, in the order of their first ranks."""
        if self._world is None or self._on_node is None:
            return 0, 1
        is_first = int(self.node_rank == 0)
        up_to_here = self._world.scan(is_first)
        return self._on_node.bcast(up_to_here - 1), self._world.allreduce(is_first)


@contextmanager
def job(env: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """The ranks of this job for a command's block. Collective if a launcher started it.

    What leaves the block on one rank alone, outside of `together`, ends the job with
    MPI_Abort: a last resort against waiting for ever. Report it inside.

    Raises:
        UsageError: MPI takes every process for the only one, or cannot be loaded.
    """
    if not is_launched(env):
        yield Ranks()
        return
    mpi = _load_mpi()
    require_real_world(mpi.COMM_WORLD.size, env)
    world = mpi.COMM_WORLD
    here = Ranks(world, world.Split_type(mpi.COMM_TYPE_SHARED, world.rank))
    try:
        yield here
    except BaseException as error:
        if not here.agreed:
            heard.let_be_read()  # the launcher drops what it has not read when it is told to abort
            code = error.code if isinstance(error, SystemExit) else None
            world.Abort(code if isinstance(code, int) else int(ExitCode.BUG))
        raise


def said(failures: Sequence[Failure | None]) -> str:
    """One message of what went wrong where; the same on many ranks is said once."""
    ranks: dict[str, list[int]] = {}
    for rank, failure in enumerate(failures):
        if failure is not None:
            ranks.setdefault(failure.message, []).append(rank)
    if len(ranks) == 1 and len(next(iter(ranks.values()))) == len(failures):
        return next(iter(ranks))
    message, where = next(iter(ranks.items()))
    others = sum(map(len, ranks.values())) - 1
    more = f" (and {others} more of {len(failures)} ranks failed)" if others else ""
    return f"rank {where[0]}: {message}{more}"


def _first_hint(failures: Sequence[Failure | None]) -> str:
    return next((one.hint for one in failures if one is not None), "")


def failure_of(error: Exception) -> Failure:
    """What the other ranks are told of `error`."""
    if isinstance(error, PoststageError):
        return Failure(error.message, error.hint, int(error.exit_code))
    if isinstance(error, OSError):
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return Failure(f"{place}{error.strerror}", "", int(ExitCode.RUN_AGAIN))
    return Failure(f"internal error: {type(error).__name__}: {error}", "", int(ExitCode.BUG))


def _load_mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            f"MPI: a launcher started this process, and MPI cannot be loaded: {error}",
            hint="install an MPI library (pip install poststage[mpi]) or start one process "
            "without a launcher",
        ) from error
    return MPI
