"""A vendor that keeps its promises: a backend whose answers stand in a file.

Installed as a third party's would be, by an entry point (`install`). What it was
told is kept beside the answers, one file a handle, so a second start is seen.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from poststage.backends.base import Answer, Backend, Capabilities, Context, FileAnswer, Item
from poststage.errors import BackendError
from poststage.model import TransferState

NAME = "stub"
_DIST = "poststage_stub-1.0.dist-info"
_CAPABILITIES = Capabilities(
    handle_before_start=True, per_file_answers=True, outlives_job=True, resumable=False
)


def install(directory: Path, ledger: Path | None = None) -> Path:
    """Make `directory` an import path that has the entry point; the site's file.

    `ledger` is where the vendor keeps its records, a directory made here if it is None.
    """
    dist = directory / "site-packages" / _DIST
    dist.mkdir(parents=True)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: poststage-stub\nVersion: 1.0\n")
    points = f"[poststage.backends]\n{NAME} = tests.crash.vendor:BACKEND\n"
    (dist / "entry_points.txt").write_text(points)
    if ledger is None:
        ledger = directory / "ledger"
        ledger.mkdir()
    site = directory / "site.toml"
    site.write_text(
        f'[site]\nname = "crash"\nbackend = "{NAME}"\nallowed_backends = ["{NAME}"]\n'
        f'[backend.{NAME}]\nledger = "{ledger}"\n'
    )
    return site


def answer(ledger: Path, tag: str, state: str, files: Mapping[int, str]) -> str:
    """Let the vendor say this of the transfer `tag`; its handle."""
    value = {"state": state, "files": {str(index): one for index, one in files.items()}}
    (ledger / f"{tag}.answer").write_text(json.dumps(value))
    return _handle(tag)


def started(ledger: Path) -> dict[str, list[list[list[str]]]]:
    """Tag → for each start that the vendor was told, its (source, target) pairs."""
    found: dict[str, list[list[list[str]]]] = {}
    for path in ledger.glob("*.started"):
        found.setdefault(path.name.partition(".")[0], []).append(json.loads(path.read_text()))
    return found


def _handle(tag: str) -> str:
    return f"stub-{tag}"


@contextmanager
def _words() -> Iterator[None]:
    """What the operating system refuses the vendor is a vendor's error."""
    try:
        yield
    except OSError as error:
        raise BackendError(f"stub: {error.strerror}") from error


class _Ledger:
    """Both sides: a mover and a probe. Each thing that it is told is one step on the disk."""

    capabilities = _CAPABILITIES

    def __init__(self, context: Context) -> None:
        self._path = Path(context.settings["ledger"])

    def handle(self, tag: str) -> str:
        with _words():
            (self._path / f"{tag}.handle").touch()
        return _handle(tag)

    def start(self, handle: str, items: Sequence[Item]) -> None:
        tag = handle.removeprefix("stub-")
        if self._is(tag, "cancelled"):
            raise BackendError(f"{handle}: was cancelled")
        moves = [[os.fsdecode(item.source), os.fsdecode(item.target)] for item in items]
        unique = f"{tag}.{time.monotonic_ns()}"
        with _words():
            (self._path / unique).write_text(json.dumps(moves))
            (self._path / unique).rename(self._path / f"{unique}.started")

    def answers(self, handles: Sequence[str]) -> Mapping[str, Answer]:
        return {handle: self._answer(handle.removeprefix("stub-")) for handle in handles}

    def find(self, tags: Sequence[str]) -> Mapping[str, str]:
        return {tag: _handle(tag) for tag in tags if self._is(tag, "handle")}

    def cancel(self, handle: str) -> Answer:
        tag = handle.removeprefix("stub-")
        answer = self._answer(tag)
        if answer.state.ended:
            return answer
        with _words():
            (self._path / f"{tag}.cancelled").touch()
        return self._answer(tag)

    def resume(self, handle: str) -> Answer:
        return self._answer(handle.removeprefix("stub-"))

    def forget(self, handles: Sequence[str]) -> None:
        for handle in handles:
            tag = handle.removeprefix("stub-")
            if self._answer(tag).state.ended:
                with _words():
                    (self._path / f"{tag}.forgotten").touch()

    def close(self) -> None:
        pass

    def _is(self, tag: str, what: str) -> bool:
        with _words():
            return (self._path / f"{tag}.{what}").exists()

    def _answer(self, tag: str) -> Answer:
        try:
            value: dict[str, Any] = json.loads((self._path / f"{tag}.answer").read_text())
        except FileNotFoundError:
            return Answer(self._unanswered(tag))
        except OSError as error:
            return Answer(TransferState.UNKNOWN, reason=str(error.strerror))
        files = {
            int(index): FileAnswer(TransferState[state], reason="the vendor says so")
            for index, state in value["files"].items()
        }
        return Answer(TransferState[value["state"]], files)

    def _unanswered(self, tag: str) -> TransferState:
        if self._is(tag, "cancelled"):
            return TransferState.CANCELED
        with _words():
            if started(self._path).get(tag):
                return TransferState.INPROGRESS
        return TransferState.NOTSTARTED if self._is(tag, "handle") else TransferState.UNKNOWN


BACKEND = Backend(NAME, _Ledger, _Ledger, {"ledger": ""})
