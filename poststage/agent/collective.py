"""The transfer's life from all ranks of a communicator at once: one fails, all fail; one answer.

The plain API waits for no other rank. Here every call but `add` and `add_tree` is collective:
all ranks make it, in the same order, and all of them return or raise the same.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from poststage.agent.agent import Agent, Existing
from poststage.agent.items import AnyPath
from poststage.agent.ranks import Failure, failure_of, said
from poststage.agent.reopened import Earlier
from poststage.agent.transfer import Transfer
from poststage.errors import ExitCode, PoststageError, UsageError, worst
from poststage.model import TransferState

Value = TypeVar("Value")
Mine = TypeVar("Mine", Transfer, Earlier)

# The first of these that a rank's transfer is in stands for all of them.
_STANDS_FOR_ALL = (
    TransferState.UNKNOWN,
    TransferState.INPROGRESS,
    TransferState.NOTSTARTED,
    TransferState.STOPPED,
)


class Gathers(Protocol):
    """What is needed of an MPI communicator; mpi4py's have it."""

    def allgather(self, sendobj: Any) -> list[Any]:
        """Every rank's object, by rank, on all ranks."""

    def allreduce(self, sendobj: Any) -> Any:
        """The sum (+) of every rank's object, on all ranks."""


def combined(states: Iterable[TransferState]) -> TransferState:
    """The one state that stands for those of all ranks; FULLSUCCESS for none."""
    found = set(states)
    for state in _STANDS_FOR_ALL:
        if state in found:
            return state
    if len(found) == 1:
        return found.pop()
    return TransferState.PARTIALSUCCESS if found else TransferState.FULLSUCCESS


class Collective:
    """`agent` on every rank of `comm`, as one."""

    def __init__(self, agent: Agent, comm: Gathers) -> None:
        self._agent, self._comm = agent, comm

    def transfer(
        self,
        dataset: str,
        *,
        move: bool = False,
        ends_with_job: bool | None = None,
        existing: Existing = "refuse",
    ) -> "SharedTransfer":
        """`Agent.transfer` on all ranks: a new one on each, or, after an error, on none."""
        made: list[Transfer] = []
        agent = self._agent
        with together(self._comm):
            if agent.part == 0:
                agent.prepare(dataset, agent.parts)
        agent.is_prepared(dataset, agent.parts)
        try:
            with together(self._comm):
                one = agent.transfer(
                    dataset, move=move, ends_with_job=ends_with_job, existing=existing
                )
                made.append(one)
        except PoststageError:
            for transfer in made:
                transfer.discard()
            raise
        return SharedTransfer(made[0], self._comm)

    def open(self, dataset: str) -> "SharedEarlier":
        """`Agent.open` on all ranks; each rank has to have recorded a part."""
        return SharedEarlier(agreed(self._comm, lambda: self._agent.open(dataset)), self._comm)


class _Shared(Generic[Mine]):
    """What all ranks can ask and do, whoever recorded it."""

    def __init__(self, mine: Mine, comm: Gathers) -> None:
        self.mine: Mine = mine
        """This rank's part, with the calls that wait for nobody."""
        self._comm = comm

    def test(self) -> TransferState:
        """How all of it stands now."""
        return _together(self._comm, self.mine.test)

    def wait(self, timeout_s: float | None = None) -> TransferState:
        """How all of it stands when it has ended or stopped everywhere, or the time is over."""
        return _together(self._comm, lambda: self.mine.wait(timeout_s))

    def cancel(self) -> TransferState:
        """Make the backends of all ranks stop."""
        return _together(self._comm, self.mine.cancel)


class SharedTransfer(_Shared[Transfer]):
    """A transfer of a dataset that every rank has its part of."""

    def add(self, source: AnyPath, destination: AnyPath, *, checksum: bool = False) -> None:
        """`Transfer.add`. Not collective."""
        self.mine.add(source, destination, checksum=checksum)

    def add_tree(self, source: AnyPath, destination: AnyPath, *, checksum: bool = False) -> None:
        """`Transfer.add_tree`. Not collective."""
        self.mine.add_tree(source, destination, checksum=checksum)

    def dispatch(self) -> None:
        """Hand over on all ranks; nothing is started on any before all have recorded theirs."""
        agreed(self._comm, self._record)
        agreed(self._comm, self.mine.dispatch)

    def _record(self) -> None:
        if self.mine.is_discarded:
            raise UsageError("transfer: was discarded; nothing was started on any rank")
        self.mine.record()

    def discard(self) -> None:
        """Forget it on all ranks; it was not dispatched."""
        agreed(self._comm, self.mine.discard)


class SharedEarlier(_Shared[Earlier]):
    """A transfer that every rank's part of an earlier process recorded."""

    def resume(self) -> TransferState:
        """Let all ranks' stopped transfers go on; none does if one is refused."""
        agreed(self._comm, self.mine.require_resumable)
        return _together(self._comm, lambda: self.mine.resume().state)

    def forget(self) -> None:
        """Remove all ranks' records."""
        agreed(self._comm, self.mine.forget)

    def close(self) -> None:
        """Let go of the backend. Not collective."""
        self.mine.close()


@contextmanager
def together(comm: Gathers) -> Iterator[None]:
    """Run the block on all ranks; if it fails on one, it raises the same error on all.

    Raises:
        PoststageError: with what went wrong where.
    """
    failure: Failure | None = None
    cause: Exception | None = None
    try:
        yield
    except Exception as error:  # noqa: BLE001 - told to all ranks and raised on all
        failure, cause = failure_of(error), error
    if comm.allreduce(int(failure is not None)):
        raise _of_all(comm.allgather(failure)) from cause


def agreed(comm: Gathers, call: Callable[[], Value]) -> Value:
    """`call()` on all ranks, its value on each; the same error on all if it fails on one."""
    values: list[Value] = []
    with together(comm):
        values.append(call())
    return values[0]


def _together(comm: Gathers, call: Callable[[], TransferState]) -> TransferState:
    return combined(comm.allreduce(Counter([agreed(comm, call)])))


def _of_all(failures: Sequence[Failure | None]) -> PoststageError:
    known = [one for one in failures if one is not None]
    hint = next((one.hint for one in known if one.hint), "")
    error = PoststageError(said(failures), hint=hint)
    error.exit_code = worst({ExitCode(one.exit_code) for one in known})
    return error
