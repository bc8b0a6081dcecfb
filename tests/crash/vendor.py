"""A vendor that keeps its promises: a backend whose answers stand in a file.

Installed as a third party's would be, by an entry point (`install`). What it was
told is kept beside the answers, one file a handle, so a second start is seen.
"""

import json
import os
from collections.abc import Mapping, Sequence
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


def install(directory: Path) -> Path:
    """Make `directory` an import path that has the entry point, and a ledger; the site's file."""
    dist = directory / "site-packages" / _DIST
    dist.mkdir(parents=True)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: poststage-stub\nVersion: 1.0\n")
    points = f"[poststage.backends]\n{NAME} = tests.crash.vendor:BACKEND\n"
    (dist / "entry_points.txt").write_text(points)
    ledger = directory / "ledger"
    ledger.mkdir()
    ledger.chmod(0o777)  # the agent's owner writes it too
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


def _handle(tag: str) -> str:
    return f"stub-{tag}"


class _Ledger:
    """Both sides: a mover and a probe."""

    capabilities = _CAPABILITIES

    def __init__(self, context: Context) -> None:
        self._path = Path(context.settings["ledger"])

    def handle(self, tag: str) -> str:
        (self._path / f"{tag}.handle").touch()
        return _handle(tag)

    def start(self, handle: str, items: Sequence[Item]) -> None:
        tag = handle.removeprefix("stub-")
        if (self._path / f"{tag}.cancelled").exists():
            raise BackendError(f"{handle}: was cancelled")
        with open(self._path / f"{tag}.started", "a") as file:
            file.write(json.dumps([os.fsdecode(item.target) for item in items]) + "\n")

    def answers(self, handles: Sequence[str]) -> Mapping[str, Answer]:
        return {handle: self._answer(handle.removeprefix("stub-")) for handle in handles}

    def find(self, tags: Sequence[str]) -> Mapping[str, str]:
        return {tag: _handle(tag) for tag in tags if (self._path / f"{tag}.handle").exists()}

    def cancel(self, handle: str) -> Answer:
        tag = handle.removeprefix("stub-")
        answer = self._answer(tag)
        if answer.state.ended:
            return answer
        (self._path / f"{tag}.cancelled").touch()
        return Answer(TransferState.CANCELED)

    def resume(self, handle: str) -> Answer:
        return self._answer(handle.removeprefix("stub-"))

    def close(self) -> None:
        pass

    def _answer(self, tag: str) -> Answer:
        try:
            value: dict[str, Any] = json.loads((self._path / f"{tag}.answer").read_text())
        except FileNotFoundError:
            return self._unanswered(tag)
        files = {
            int(index): FileAnswer(TransferState[state], reason="the vendor says so")
            for index, state in value["files"].items()
        }
        return Answer(TransferState[value["state"]], files)

    def _unanswered(self, tag: str) -> Answer:
        if (self._path / f"{tag}.started").exists():
            return Answer(TransferState.INPROGRESS)
        if (self._path / f"{tag}.handle").exists():
            return Answer(TransferState.NOTSTARTED)
        return Answer(TransferState.UNKNOWN, reason="the vendor does not know it")


BACKEND = Backend(NAME, _Ledger, _Ledger, {"ledger": ""})
