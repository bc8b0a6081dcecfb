"""The agent: hands files over to a backend where the job runs; see docs/api.md."""

from poststage.agent.agent import Agent, open_agent
from poststage.agent.collective import Collective
from poststage.agent.reopened import Earlier, open_earlier
from poststage.agent.transfer import Transfer

__all__ = ["Agent", "Collective", "Earlier", "Transfer", "open_agent", "open_earlier"]
