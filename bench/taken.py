"""The backend `taken`: it accepts everything at once, so that what is left is the agent's cost."""

from collections.abc import Sequence

from poststage.backends.base import Backend, Capabilities, Context, Item
from poststage.simulate.moved import BACKEND as SIMULATED


class Takes:
    """A mover that moves nothing."""

    capabilities = Capabilities(
        handle_before_start=True, per_file_answers=False, outlives_job=True, resumable=False
    )

    def handle(self, tag: str) -> str:
        """The tag itself."""
        return tag

    def start(self, handle: str, items: Sequence[Item]) -> None:
        """Accepted."""
        del handle
        assert items

    def close(self) -> None:
        """Nothing is open."""


def _open_mover(context: Context) -> Takes:
    del context
    return Takes()


BACKEND = Backend("taken", _open_mover, SIMULATED.open_probe)
