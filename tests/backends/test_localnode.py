"""The copier of a node: started once, acted for only where nobody runs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from poststage.backends.localnode import Node
from poststage.copier.client import Session
from tests.backends.sites import LocalSite, end_daemon, pid_of


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LocalSite]:
    made = LocalSite(tmp_path)
    yield made
    end_daemon(made.root)


@pytest.fixture
def node(site: LocalSite) -> Node:
    return Node(site.context, os.uname().nodename)


def nothing(_: Session) -> str:
    """A question that is answered by being connected."""
    return "asked"


def test_a_copier_is_started_when_it_is_needed_and_not_twice(site: LocalSite, node: Node) -> None:
    assert pid_of(site.root) is None
    assert node.asked_once_started(nothing) == "asked"
    first = pid_of(site.root)
    assert node.asked_once_started(nothing) == "asked"
    assert pid_of(site.root) == first is not None


def test_nobody_acts_in_the_place_of_a_copier_that_runs(site: LocalSite, node: Node) -> None:
    node.asked_once_started(nothing)
    assert node.in_its_place(lambda queue_fd: "acted") is None
    end_daemon(site.root)
    assert node.in_its_place(lambda queue_fd: "acted") == "acted"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_nobody_acts_in_somebody_else_s_root(site: LocalSite, node: Node) -> None:
    node.asked_once_started(nothing)
    end_daemon(site.root)
    os.chown(site.root, 4242, 4242)
    assert node.in_its_place(lambda queue_fd: "acted") is None


def test_the_folders_are_the_owner_s_alone(site: LocalSite, node: Node) -> None:
    node.asked_once_started(nothing)
    for folder in (site.root, site.root.parent):
        assert folder.stat().st_mode & 0o7777 == 0o700
