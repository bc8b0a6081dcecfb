"""The backend `simulated`: every transfer has ended well. No site allows it by itself."""

from collections.abc import Sequence
from typing import NoReturn

from poststage.backends.base import Answer, Backend, Capabilities, Context
from poststage.errors import UsageError
from poststage.model import TransferState

NAME = "simulated"


class Moved:
    """A probe that asks nobody: what is measured is the finalizer, not a vendor."""

    capabilities = Capabilities(
        handle_before_start=True, per_file_answers=False, outlives_job=True, resumable=False
    )

    def answers(self, handles: Sequence[str]) -> dict[str, Answer]:
        """Each has ended well."""
        return dict.fromkeys(handles, Answer(TransferState.FULLSUCCESS))

    def find(self, tags: Sequence[str]) -> dict[str, str]:
        """All have a handle on record."""
        del tags
        return {}

    def cancel(self, handle: str) -> Answer:
        """Too late: it has ended."""
        return self.answers([handle])[handle]

    def resume(self, handle: str) -> Answer:
        """As it ended."""
        return self.answers([handle])[handle]

    def forget(self, handles: Sequence[str]) -> None:
        """There is nothing to forget."""

    def close(self) -> None:
        """Nothing is open."""


def _hands_nothing_over(context: Context) -> NoReturn:
    del context
    raise UsageError(f"backend {NAME}: moves no files; nothing was handed over")


def _open_probe(context: Context) -> Moved:
    del context
    return Moved()


BACKEND = Backend(NAME, _hands_nothing_over, _open_probe)
