"""Node-local storage without a vendor: a detached copier a node, its queue in STATEDIR.

The copier of a host has its root in STATEDIR/.local/HOST. STATEDIR is shared, so a probe
anywhere reads what the copier has journaled; only on the copier's host can it be asked.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from poststage.backends import daemons, localdisk
from poststage.backends.base import Answer, Backend, Capabilities, Context, Item
from poststage.backends.localnode import Node, cancel_in_place
from poststage.copier import protocol as p
from poststage.copier import queue
from poststage.copier.client import BackendAwayError, Session
from poststage.errors import BackendError, PoststageError
from poststage.model import TransferState

CAPABILITIES = Capabilities(
    handle_before_start=True,
    per_file_answers=True,
    outlives_job=False,
    resumable=True,
    keeps_until_forgotten=True,
)


_Result = TypeVar("_Result")


class LocalMover:
    """The compute node's side: this host's copier, started when there is none."""

    capabilities = CAPABILITIES

    def __init__(self, context: Context) -> None:
        self._node = Node(context, socket.gethostname())

    def handle(self, tag: str) -> str:
        """As `Mover.handle`."""
        made = self._ask(partial(_make_handle, tag))
        return f"{self._node.host}:{made}"

    def start(self, handle: str, items: Sequence[Item]) -> None:
        """As `Mover.start`; only on the host that gave the handle."""
        try:
            host, own = localdisk.parse(handle)
        except ValueError as error:
            raise BackendError(f"transfer {handle!r}: {error}; it was not started") from error
        if host != self._node.host:
            raise BackendError(f"transfer {handle}: belongs to {host}; it was not started")
        self._ask(partial(_start, own, items))

    def close(self) -> None:
        """As `Mover.close`."""

    def _ask(self, question: Callable[[Session], _Result]) -> _Result:
        try:
            return self._node.asked_once_started(question)
        except OSError as error:
            raise BackendError(
                f"copier of {self._node.host}: cannot be started: {error}; nothing was started"
            ) from error


class LocalProbe:
    """The post-stage node's side: asks this host's copier, reads what others have journaled."""

    capabilities = CAPABILITIES

    def __init__(self, context: Context) -> None:
        self._context, self._here = context, socket.gethostname()

    def answers(self, handles: Sequence[str]) -> Mapping[str, Answer]:
        """As `Probe.answers`."""
        found = dict(daemons.unknown(handles, "is not a handle of this backend"))
        for host, own in _by_host(handles).items():
            for handle, answer in self._of_host(host, own).items():
                found[f"{host}:{handle}"] = answer
        return found

    def find(self, tags: Sequence[str]) -> Mapping[str, str]:
        """As `Probe.find`: on disk, since a handle is there before it is given."""
        try:
            known = localdisk.handles_by_tag(Node(self._context, self._here).state_dir)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise BackendError(f"local: {localdisk.FOLDER}: {error.strerror}") from error
        return {tag: known[tag] for tag in tags if tag in known}

    def cancel(self, handle: str) -> Answer:
        """As `Probe.cancel`; from another host by leaving word on the disk."""
        return self._act(handle, self._cancel)

    def resume(self, handle: str) -> Answer:
        """As `Probe.resume`: starts the copier, on the host where the source is."""
        return self._act(handle, self._resume)

    def forget(self, handles: Sequence[str]) -> None:
        """As `Probe.forget`: on disk, of every host; a host's root goes with its last transfer."""
        for host, own in _by_host(handles).items():
            node = Node(self._context, host)
            try:
                if host == self._here:
                    with suppress(BackendAwayError):
                        node.asked(partial(_forget, own))
                localdisk.forget(node.root, own)
            except FileNotFoundError:  # nothing is kept of that host
                continue
            except OSError as error:
                raise BackendError(f"local: {host}: {error.strerror}") from error

    def close(self) -> None:
        """As `Probe.close`."""

    def _of_host(self, host: str, handles: Sequence[str]) -> Mapping[str, Answer]:
        node = Node(self._context, host)
        try:
            if host != self._here:
                with localdisk.open_queue(node.root) as queue_fd:
                    return localdisk.answers(queue_fd, handles, host, nobody_copies=False)
            return self._of_here(node, handles)
        except (BackendError, OSError) as error:
            return daemons.unknown(handles, str(error))

    def _of_here(self, node: Node, handles: Sequence[str]) -> Mapping[str, Answer]:
        try:
            return node.asked(lambda daemon: daemons.statuses(daemon, handles))
        except BackendAwayError as away:
            read = partial(localdisk.answers, handles=handles, host=self._here, nobody_copies=True)
            found = node.in_its_place(read)
            return daemons.unknown(handles, str(away)) if found is None else found

    def _act(self, handle: str, act: Callable[[Node, str], Answer]) -> Answer:
        try:
            host, own = localdisk.parse(handle)
            return act(Node(self._context, host), own)
        except (PoststageError, OSError, ValueError) as error:
            return Answer(TransferState.UNKNOWN, reason=str(error))

    def _cancel(self, node: Node, handle: str) -> Answer:
        if node.host == self._here:
            try:
                return node.asked(partial(_about, p.Cancel(handle)))
            except BackendAwayError as away:
                if node.in_its_place(partial(cancel_in_place, handle=handle)) is None:
                    return Answer(TransferState.UNKNOWN, reason=str(away))
        else:
            with localdisk.open_queue(node.root) as queue_fd:
                queue.ask_cancel(queue_fd, handle)
        return self._of_host(node.host, [handle])[handle]

    def _resume(self, node: Node, handle: str) -> Answer:
        if node.host == self._here:
            return node.asked_once_started(partial(_about, p.Resume(handle)))
        answer = self._of_host(node.host, [handle])[handle]
        reason = f"was copied by {node.host}; only there it can be resumed; nothing was started"
        return answer if answer.state.ended else replace(answer, reason=reason)


def _by_host(handles: Sequence[str]) -> dict[str, list[str]]:
    """Host → its daemon's handles; what is no handle is left out."""
    found: dict[str, list[str]] = {}
    for handle in handles:
        try:
            host, own = localdisk.parse(handle)
        except ValueError:
            continue
        found.setdefault(host, []).append(own)
    return found


def _make_handle(tag: str, daemon: Session) -> str:
    return daemons.make_handle(daemon, tag)


def _start(handle: str, items: Sequence[Item], daemon: Session) -> None:
    daemons.start(daemon, handle, items)


def _about(request: p.Cancel | p.Resume, daemon: Session) -> Answer:
    return daemons.answers_of(daemon, request)[request.handle]


def _forget(handles: Sequence[str], daemon: Session) -> None:
    daemons.forget(daemon, handles)


BACKEND = Backend(
    name="local",
    open_mover=LocalMover,
    open_probe=LocalProbe,
    defaults={
        "threads": 2,
        "limit_mb_s": 0.0,
        "progress_mb": 1024,
        "idle_s": 300.0,
        "timeout_s": 30.0,
    },
    least={"threads": 1, "progress_mb": 1, "timeout_s": 0.001},
)
"""`limit_mb_s` 0 is no limit; `progress_mb`: how often what is copied is made durable;
`idle_s`: a copier without work ends after so long."""
