"""Opening an agent: which STATEDIR, which backend, which part of the datasets is ours."""

import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from poststage import backends, config, registry
from poststage.agent import ranks, recording, zombie
from poststage.agent.known import Probes
from poststage.agent.reopened import Earlier
from poststage.agent.replacing import make_way
from poststage.agent.transfer import Transfer
from poststage.backends.base import Backend, Context, Mover, Probe
from poststage.errors import UsageError
from poststage.model import Head, TransferState
from poststage.statefile import layout

STATE_DIR = "POSTSTAGE_STATE_DIR"
Existing = Literal["refuse", "new"]
_JOB_IDS = ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "FLUX_JOB_ID", "POSTSTAGE_JOB_ID")


def open_agent(
    state_dir: str | os.PathLike[str] | None = None,
    comm: ranks.Communicator | None = None,
    site: str | os.PathLike[str] | None = None,
    backend: str | None = None,
) -> "Agent":
    """An agent that records transfers in `state_dir`, made if missing.

    With a communicator, each rank is one part of every dataset; without one there is one
    part, unless `Agent.transfer` is told otherwise. Not collective.

    Raises:
        UsageError: no `state_dir` and none in POSTSTAGE_STATE_DIR, or an empty one; wrong site
            settings, a backend that the site does not allow, or an MPI that took each process
            for the only one.
    """
    where = os.environ.get(STATE_DIR) if state_dir is None else state_dir
    if not where or not os.fspath(where):
        fact = "none was named" if state_dir is None else "its name is empty"
        raise UsageError(
            f"state directory: {fact}; nothing was recorded",
            hint=f"give --state-dir (state_dir in Python) or set {STATE_DIR}",
        )
    part, parts = (0, 1) if comm is None else (comm.Get_rank(), comm.Get_size())
    if comm is not None:
        ranks.require_real_comm(comm, os.environ)
    settings = config.load(None if site is None else Path(site))
    loaded = backends.load(backend or settings.backend, settings)
    path = Path(os.path.abspath(where))
    agent = Agent(path, loaded, backends.context(loaded, settings, path), settings, part, parts)
    agent.state_root = Path(settings.state_root) if settings.state_root else None
    return agent


class Agent:
    """Makes transfers for one STATEDIR and one backend. Made by `open_agent`.

    As a context manager it dispatches what was not dispatched (after an error in the
    block: discards it) and lets go of the backend; transfers go on.
    """

    def __init__(
        self,
        state_dir: Path,
        backend: Backend,
        context: Context,
        settings: config.Settings,
        part: int,
        parts: int,
    ) -> None:
        self.state_dir = state_dir
        self._settings = settings
        self.backend = backend.name
        self.part, self.parts = part, parts
        self.state_root: Path | None = None
        """Where STATEDIR is registered with the first transfer; None once it is, or for nowhere."""
        self.ends_with_job = settings.ends_with_job
        """Whether transfers end with the job, where they are not told."""
        self._backend = backend
        self._context = context
        self._mover: Mover | None = None
        self._probe: Probe | None = None
        self._transfers: list[Transfer] = []
        self.settled: set[bytes] = set()
        """STATEDIR and directories below it whose own names are durable: once is enough."""

    def transfer(
        self,
        dataset: str,
        part: int | None = None,
        parts: int | None = None,
        *,
        move: bool = False,
        ends_with_job: bool | None = None,
        existing: Existing = "refuse",
    ) -> Transfer:
        """A new transfer, empty: part `part` of `parts` of `dataset`. Not collective.

        With `move` the finalizer deletes each source, once its file is published and durable.
        What still runs when the job is gone is cancelled with `ends_with_job`, and goes on
        without; None is as the site has settled.

        An earlier transfer of this part that is not over is refused; with `existing="new"` it
        is cancelled and its partial files are deleted. To go on with it, see `open`.

        Raises:
            UsageError: a transfer of this part of the dataset is not over yet (with "new": has
                moved files that are not published), or the names or numbers make no sense.
        """
        part = self.part if part is None else part
        parts = self.parts if parts is None else parts
        if not 0 <= part < parts < 2**31:
            raise UsageError(f"transfer: part {part} of {parts}; nothing was recorded")
        head = Head(
            id=secrets.token_hex(8),
            dataset=dataset,
            part=part,
            parts=parts,
            backend=self.backend,
            created_ns=time.time_ns(),
            host=socket.gethostname(),
            job=job_id(os.environ),
            pid=os.getpid(),
            move=move,
            ends_with_job=self.ends_with_job if ends_with_job is None else ends_with_job,
        )
        if existing == "new":
            self._make_way(dataset, part, parts)
        transfer = Transfer(self, head)
        self._register(transfer)
        self._transfers = [one for one in self._transfers if one.is_open] + [transfer]
        return transfer

    def open(self, dataset: str, part: int | None = None) -> Earlier:
        """The transfer of this part that an earlier process recorded: to ask, cancel, resume.

        Raises:
            UsageError: there is none that is not over.
        """
        return Earlier(self._state_file(dataset, part), self.state_dir, self._settings)

    def prepare(self, dataset: str, parts: int) -> None:
        """Make the directories of `dataset` durable before all its parts need them.

        One rank does it, the others then say `is_prepared`: thousands need not sync the same.

        Raises:
            RunAgainError, PermissionRefusedError: they cannot be made; nothing was recorded.
        """
        recording.prepare(self.state_dir, dataset, parts)

    def is_prepared(self, dataset: str, parts: int) -> None:
        """Another rank has made them durable."""
        self.settled.update(recording.directories(self.state_dir, dataset, parts))

    def cancel_temp(self, temp: str | bytes | os.PathLike[str]) -> TransferState:
        """Stop whoever may still write the temp file `temp` of an old job; how it stands then.

        Its name alone leads to the transfer: the id in one of ours, IBM's handle in one of
        AXL's. The state file, if there still is one, is left to the finalizer.

        Raises:
            UsageError: the name names no transfer, or no backend knows it.
            BackendError: one did not answer; nothing was cancelled.
        """
        found = zombie.of_temp(os.path.basename(os.fsencode(temp)))
        with Probes(self._settings, self.state_dir) as probes:
            return zombie.cancel(found, probes, self._settings.allowed_backends).state

    def _state_file(self, dataset: str, part: int | None, parts: int | None = None) -> bytes:
        """Where this part of `dataset` is recorded, or would be."""
        directory = os.path.join(os.fsencode(self.state_dir), layout.dataset_dir_name(dataset))
        part = self.part if part is None else part
        path = layout.state_path(part, self.parts if parts is None else parts)
        other = os.path.join(directory, layout.other_path(path))
        mine = os.path.join(directory, path)
        return other if os.path.lexists(other) and not os.path.lexists(mine) else mine

    def _make_way(self, dataset: str, part: int, parts: int) -> None:
        path = self._state_file(dataset, part, parts)
        if not os.path.lexists(path):
            return
        try:
            earlier = Earlier(path, self.state_dir, self._settings)
        except UsageError:
            return  # nothing whole in it: the new one clears it away
        with earlier:
            if earlier.state().recorded:
                make_way(earlier)

    def _register(self, transfer: Transfer) -> None:
        """Note this STATEDIR where a finalizer looks that is given none; once, before a start."""
        if self.state_root is None:
            return
        try:
            registry.register(self.state_root, transfer.head.job, self.state_dir)
        except BaseException:
            transfer.discard()
            raise
        self.state_root = None

    @property
    def mover(self) -> Mover:
        """The backend's mover, opened when it is first needed; may raise BackendError."""
        if self._mover is None:
            self._mover = self._backend.open_mover(self._context)
        return self._mover

    @property
    def probe(self) -> Probe:
        """The backend's probe, opened when it is first needed; may raise BackendError."""
        if self._probe is None:
            self._probe = self._backend.open_probe(self._context)
        return self._probe

    def close(self) -> None:
        """Let go of the backend; a transfer that was not dispatched is discarded."""
        for transfer in self._transfers:
            transfer.close()
        self._transfers.clear()
        for side in (self._mover, self._probe):
            if side is not None:
                side.close()
        self._mover = self._probe = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                for transfer in self._transfers:
                    if transfer.is_open:
                        transfer.dispatch()
        finally:
            self.close()


def job_id(env: Mapping[str, str]) -> str:
    """The scheduler's name for this job; "" if there is none."""
    return next((env[name] for name in _JOB_IDS if env.get(name)), "")
