"""A stub of HPE's nnf-dm: the gRPC service of a compute node, one movement a file, in a process.

usage: python -m tests.backends.vendors.nnfdm ROOT

With a file `hold` in ROOT new movements stay pending and tell no command, as real ones do until
they are scheduled. Sources with what is in a file `refuse` are refused. It knows
the workflow `default/flux-1` alone.
"""

import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from poststage.backends.nnf_messages import SERVICE, classes
from tests.backends.vendors.machine import Machine, stall

M = classes()
PENDING, RUNNING, COMPLETED, UNKNOWN_STATE = 0, 2, 3, 5
NOT_FOUND, SUCCESS, FAILED, CANCELLED, UNKNOWN_STATUS = 1, 2, 3, 4, 5
ENDS = {"done": SUCCESS, "failed": FAILED, "partial": FAILED, "cancelled": CANCELLED}


class Service:
    """The methods, by their names."""

    def __init__(self, root: Path) -> None:
        self.root, self.machine = root, Machine(root)

    def known(self, request: Any) -> bool:
        """Whether it is about the one workflow."""
        return (request.workflow.namespace, request.workflow.name) == ("default", "flux-1")

    def create(self, request: Any, _: Any) -> Any:
        if not self.known(request) or (request.slots, request.maxSlots) != (-1, -1):
            return M["CreateResponse"](status=2, message="invalid")
        refuse = self.root / "refuse"
        if refuse.exists() and refuse.read_text() in request.source:
            return M["CreateResponse"](status=1, message="no room")
        with self.machine.lock:
            number = self.machine.make()
            pair = [request.source.encode().hex(), request.destination.encode().hex()]
            if (self.root / "hold").exists():
                self.machine.transfers[number]["held"] = pair
            else:
                self.machine.start(number, [pair])
        stall(self.root)
        return M["CreateResponse"](uid=f"nnf-dm-{number}", status=0)

    def status(self, request: Any, _: Any) -> Any:
        self._let_go()
        one = self._of(request)
        if one is None:
            return M["StatusResponse"](state=UNKNOWN_STATE, status=NOT_FOUND)
        if one["state"] == "new":
            return M["StatusResponse"](state=PENDING, status=UNKNOWN_STATUS)
        names = [bytes.fromhex(name).decode() for name in (one["files"] or [["", ""]])[0][:2]]
        command = f"mpirun -np 8 dcp --progress 1 --uid 1 --gid 1 {names[0]} {names[1]}"
        said: dict[str, Any] = {"commandStatus": {"command": command if any(names) else ""}}
        if one["state"] == "running":
            return M["StatusResponse"](state=RUNNING, status=UNKNOWN_STATUS, **said)
        end = ENDS[one["state"]]
        return M["StatusResponse"](state=COMPLETED, status=end, message=one["state"], **said)

    def cancel(self, request: Any, _: Any) -> Any:
        if self._of(request) is None:
            return M["CancelResponse"](status=1)
        self.machine.cancel(self._number(request))
        return M["CancelResponse"](status=2)

    def list(self, request: Any, _: Any) -> Any:
        numbers = self.machine.transfers if self.known(request) else ()
        return M["ListResponse"](uids=[f"nnf-dm-{number}" for number in numbers])

    def _let_go(self) -> None:
        with self.machine.lock:
            for number, one in self.machine.transfers.items():
                if one["state"] == "new" and not (self.root / "hold").exists():
                    self.machine.start(number, [one.pop("held")])

    def _number(self, request: Any) -> int:
        return int(request.uid.removeprefix("nnf-dm-"))

    def _of(self, request: Any) -> Any:
        return self.machine.transfers.get(self._number(request)) if self.known(request) else None


def serve(root: Path) -> None:
    """Answer for ever."""
    service = Service(root)
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(service, name.lower()),
            request_deserializer=M[f"{name}Request"].FromString,
            response_serializer=M[f"{name}Response"].SerializeToString,
        )
        for name in ("Create", "Status", "Cancel", "List")
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    (root / "socket").unlink(missing_ok=True)
    server.add_insecure_port(f"unix://{root}/socket")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
