"""A stub vendor's server behind a Unix socket: a line is asked, a line is answered."""

import socketserver
from collections.abc import Callable
from pathlib import Path

from tests.backends.vendors.machine import Machine, stall


def serve(root: Path, reply: Callable[[Machine, str], str]) -> None:
    """Answer for ever."""
    machine = Machine(root)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                with machine.lock:
                    answer = reply(machine, line.decode("ascii"))
                if line.startswith(b"sta"):
                    stall(root)
                self.wfile.write(answer.encode("ascii") + b"\n")

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    (root / "socket").unlink(missing_ok=True)
    with Server(str(root / "socket"), Handler) as server:
        server.serve_forever()
