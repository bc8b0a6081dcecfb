"""Handing over one dataset from all ranks of a job: list, share out, record, start."""

from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from operator import add

from msgspec import Struct
from msgspec.structs import astuple, replace

from poststage.agent import share
from poststage.agent.agent import Agent, Existing
from poststage.agent.items import Item
from poststage.agent.observe import Observed, observe_all
from poststage.agent.ranks import Ranks
from poststage.agent.transfer import Transfer
from poststage.errors import UsageError
from poststage.model import Kind, TransferState


class Scope(Enum):
    """Who writes a state file, and so is one part of the dataset."""

    RANK = "rank"
    NODE = "node"
    JOB = "job"


class Request(Struct, frozen=True):
    """What is to be handed over, and how."""

    dataset: str
    scope: Scope = Scope.RANK
    shared: bool = False
    """Whether all nodes see the same source, so that the whole job shares it out."""
    checksum: bool = False
    move: bool = False
    """Whether the sources are deleted once their files are published."""
    ends_with_job: bool | None = None
    """Whether what still runs when the job is gone is cancelled; None: as the site has settled."""
    existing: Existing = "refuse"
    """What becomes of earlier transfers of the same parts that are not over."""


class Summary(Struct, frozen=True):
    """What all ranks together have handed over."""

    dataset: str
    parts: int
    files: int
    size_bytes: int
    links: int
    """Symlinks and further names of files."""
    directories: int
    """As recorded: one that several parts need counts for each."""
    states: tuple[TransferState, ...] = ()
    """How the transfers ended, if they were waited for, equal ones together; those without files
    are left out."""


class _Counts(Struct, frozen=True):
    parts: int = 0
    files: int = 0
    size_bytes: int = 0
    links: int = 0
    directories: int = 0

    def __add__(self, other: "_Counts") -> "_Counts":
        return _Counts(*map(add, astuple(self), astuple(other)))


def hand_over(
    here: Ranks, agent: Agent, request: Request, listing: Callable[[], Sequence[Item]]
) -> tuple[Summary, Transfer | None]:
    """Hand over what `listing` gives on each node's first rank. Collective.

    Nothing is started on any rank before everything is recorded on all; an error on one
    rank before that leaves no state file anywhere.

    Returns the same summary on all ranks, and the transfer on those that have one.

    Raises:
        PoststageError: on rank 0, see `Ranks.together`.
    """
    with here.together():
        _require_sense(here, request)
    mine = _shared_out(here, request, listing)
    with here.together():
        observed = list(observe_all(mine, checksum=request.checksum))
    gathered = _gathered(here, request.scope, observed)
    transfer = _recorded(here, agent, request, gathered)
    with here.together():
        if transfer is not None:
            transfer.dispatch()
    return _summary(here, request, transfer), transfer


def waited(
    here: Ranks, summary: Summary, transfer: Transfer | None, timeout_s: float | None
) -> Summary:
    """`summary` with the states in which all ranks' transfers ended. Collective."""
    mine: Counter[TransferState] = Counter()
    with here.together():
        if transfer is not None and transfer.counts[Kind.FILE]:
            mine[transfer.wait(timeout_s)] = 1
    return replace(summary, states=tuple(here.total(mine).elements()))


def _require_sense(here: Ranks, request: Request) -> None:
    if request.scope is Scope.JOB and here.nodes > 1 and not request.shared:
        raise UsageError(
            f"--scope job: the files lie on {here.nodes} nodes, and one state file's transfer "
            "starts on one; nothing was recorded",
            hint="use --scope node, or --shared if every node sees the same files",
        )


def _shared_out(
    here: Ranks, request: Request, listing: Callable[[], Sequence[Item]]
) -> Sequence[Item]:
    """This rank's share of what the first rank (of the node, of the job) has listed."""
    ranks = here.size if request.shared else here.node_size
    is_first = here.rank == 0 if request.shared else here.node_rank == 0
    pieces = None
    with here.together():
        if is_first:
            pieces = share.share_out(listing(), ranks)
    return here.deal(pieces, job_wide=request.shared)


def _gathered(here: Ranks, scope: Scope, observed: list[Observed]) -> list[Observed] | None:
    """What this rank records: its own, its node's, the job's; None if another records it."""
    if scope is Scope.RANK:
        return observed
    collected = here.collect(observed, job_wide=scope is Scope.JOB)
    is_first = here.rank == 0 if scope is Scope.JOB else here.node_rank == 0
    return [one for piece in collected for one in piece] if is_first else None


def _recorded(
    here: Ranks, agent: Agent, request: Request, observed: list[Observed] | None
) -> Transfer | None:
    """The transfer with all of `observed`, durable; on an error of any rank it is discarded."""
    part, parts = {
        Scope.RANK: (here.rank, here.size),
        Scope.NODE: (here.node, here.nodes),
        Scope.JOB: (0, 1),
    }[request.scope]
    transfer = None
    with here.together():
        if here.rank == 0:
            agent.prepare(request.dataset, parts)
    agent.is_prepared(request.dataset, parts)
    try:
        with here.together():
            if observed is not None:
                transfer = agent.transfer(
                    request.dataset,
                    part,
                    parts,
                    move=request.move,
                    ends_with_job=request.ends_with_job,
                    existing=request.existing,
                )
                transfer.append(observed)
                transfer.record()
    except BaseException:
        if transfer is not None:
            transfer.close()
        raise
    return transfer


def _summary(here: Ranks, request: Request, transfer: Transfer | None) -> Summary:
    mine = _Counts()
    if transfer is not None:
        counts = transfer.counts
        links = counts[Kind.SYMLINK] + counts[Kind.LINK]
        mine = _Counts(1, counts[Kind.FILE], transfer.size_bytes, links, counts[Kind.DIRECTORY])
    return Summary(request.dataset, *astuple(here.total(mine)))
