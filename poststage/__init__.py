"""Burst-buffer post-stage suite: hand files over, finalize them after the job.

The public Python API is `open_agent` and what it returns; see docs/api.md.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poststage.agent import Agent, Transfer, open_agent

__version__ = "0.1.0"
__all__ = ["Agent", "Transfer", "__version__", "open_agent"]


def __getattr__(name: str) -> object:
    """Import the agent only when it is asked for: commands start faster without it."""
    if name in {"Agent", "Transfer", "open_agent"}:
        from poststage import agent

        return getattr(agent, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
