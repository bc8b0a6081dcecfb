"""Stub vendors as the contract's sites."""

import socket
import sys
from pathlib import Path

import pytest

from poststage.backends import bbapi, datawarp, nnf
from poststage.backends.base import Context
from tests.backends.vendors.run import HERE, Server, library

JOB, STEP = "4711", "3"


class BbapiSite:
    """IBM's library and `bbcmd` in front of one stub bbServer."""

    tag = "0123456789abcdef"

    def __init__(self, folder: Path, libraries: Path, environment: pytest.MonkeyPatch) -> None:
        self.source_dir, self.destination_dir = folder / "bb", folder / "pfs"
        self.source_dir.mkdir()
        self.destination_dir.mkdir()
        self.server = Server("bbserver", folder / "server")
        self.socket = folder / "server" / "socket"
        for name, value in (
            ("BB_STUB_SOCKET", str(self.socket)),
            ("LSB_JOBID", JOB),
            ("PMIX_NAMESPACE", STEP),
        ):
            environment.setenv(name, value)
        self.bbcmd = folder / "bbcmd"
        self.bbcmd.write_text(
            f"#!/bin/sh\nBB_STUB_SOCKET={self.socket} "
            f'exec {sys.executable} -S -E {HERE / "bbcmd.py"} "$@"\n'
        )
        self.bbcmd.chmod(0o755)
        self.settings = {"library": str(library(libraries)), "bbcmd": str(self.bbcmd)}
        self.revive()
        self.mover = bbapi.BACKEND.open_mover(self.context())
        self.probe = bbapi.BACKEND.open_probe(self.context())

    def context(self, **settings: object) -> Context:
        """What the backend is opened with."""
        return Context(Path("/"), {**bbapi.BACKEND.defaults, **self.settings, **settings})

    def pace(self, mb_s: float) -> bool:
        """As the contract's."""
        return self.server.pace(mb_s)

    def kill(self) -> bool:
        """As the contract's."""
        return self.server.kill()

    def revive(self) -> None:
        """As the contract's."""
        self.server.start(lambda: listens(self.socket))


class NnfSite:
    """A Rabbit's compute node: nnf-dm's socket, in a job with a workflow."""

    tag = "0123456789abcdef"

    def __init__(self, folder: Path, environment: pytest.MonkeyPatch) -> None:
        self.source_dir, self.destination_dir = folder / "bb", folder / "pfs"
        self.source_dir.mkdir()
        self.destination_dir.mkdir()
        environment.setenv("DW_WORKFLOW_NAME", "flux-1")
        environment.setenv("DW_WORKFLOW_NAMESPACE", "default")
        self.server = Server("nnfdm", folder / "server")
        self.revive()
        self.mover = nnf.BACKEND.open_mover(self.context())
        self.probe = nnf.BACKEND.open_probe(self.context())

    def context(self) -> Context:
        """What the backend is opened with."""
        socket = str(self.server.root / "socket")
        return Context(Path("/"), {**nnf.BACKEND.defaults, "socket": socket})

    def pace(self, mb_s: float) -> bool:
        """As the contract's."""
        return self.server.pace(mb_s)

    def kill(self) -> bool:
        """As the contract's."""
        return self.server.kill()

    def revive(self) -> None:
        """As the contract's."""
        self.server.start(lambda: listens(self.server.root / "socket"))


class DatawarpSite:
    """Cray's library in front of a stub of its service."""

    tag = "0123456789abcdef"

    def __init__(self, folder: Path, libraries: Path, environment: pytest.MonkeyPatch) -> None:
        self.source_dir, self.destination_dir = folder / "bb", folder / "pfs"
        self.state_dir = folder / "state"
        for path in (self.source_dir, self.destination_dir, self.state_dir):
            path.mkdir()
        self.server = Server("dwserver", folder / "server")
        environment.setenv("DW_STUB_SOCKET", str(self.server.root / "socket"))
        self.library = library(libraries, "datawarp")
        self.revive()
        self.mover = datawarp.BACKEND.open_mover(self.context())
        self.probe = datawarp.BACKEND.open_probe(self.context())

    def context(self, **settings: object) -> Context:
        """What the backend is opened with."""
        own = {"library": str(self.library), **settings}
        return Context(self.state_dir, {**datawarp.BACKEND.defaults, **own})

    def pace(self, mb_s: float) -> bool:
        """As the contract's."""
        return self.server.pace(mb_s)

    def kill(self) -> bool:
        """As the contract's."""
        return self.server.kill()

    def revive(self) -> None:
        """As the contract's."""
        self.server.start(lambda: listens(self.server.root / "socket"))


def listens(path: Path) -> bool:
    """Whether somebody accepts connections at the socket `path`."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0
