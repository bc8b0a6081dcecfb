"""The agent: hands files over to a backend where the job runs; see docs/api.md."""

from poststage.agent.agent import Agent, open_agent
from poststage.agent.transfer import Transfer

__all__ = ["Agent", "Transfer", "open_agent"]
