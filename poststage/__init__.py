"""Burst-buffer post-stage suite: hand files over, finalize them after the job.

The public Python API is `open_agent` and what it returns; see docs/api.md.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poststage.agent import Agent, Collective, Earlier, Transfer, open_agent, open_earlier

__version__ = "0.1.0"
__all__ = [
    "Agent",
    "Collective",
    "Earlier",
    "Transfer",
    "__version__",
    "open_agent",
    "open_earlier",
]


def __getattr__(name: str) -> object:
    """Import the agent only when it is asked for: commands start faster without it."""
    if name in __all__ and name != "__version__":
        from poststage import agent

        return getattr(agent, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
