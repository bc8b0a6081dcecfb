"""The backend of simulated transfers: it answers for all, and moves nothing."""

from pathlib import Path

import pytest

from poststage import backends, config
from poststage.backends.base import Context
from poststage.errors import UsageError
from poststage.model import TransferState
from poststage.simulate.moved import NAME
from poststage.simulate.run import simulated

CONTEXT = Context(Path(), {})


def test_no_site_allows_it_by_itself() -> None:
    with pytest.raises(UsageError, match="is not allowed here"):
        backends.load(NAME, config.load(env={}))


def test_it_says_of_every_transfer_that_it_has_ended_well() -> None:
    backend = backends.load(NAME, simulated(config.load(env={})))
    probe = backend.open_probe(CONTEXT)
    assert probe.answers(["a"])["a"].state is TransferState.FULLSUCCESS
    assert probe.cancel("a").state is probe.resume("a").state is TransferState.FULLSUCCESS
    assert probe.find(["a"]) == {}
    probe.close()


def test_it_takes_no_files() -> None:
    backend = backends.load(NAME, simulated(config.load(env={})))
    with pytest.raises(UsageError, match="moves no files"):
        backend.open_mover(CONTEXT)
