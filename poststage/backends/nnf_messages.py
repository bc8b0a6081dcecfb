"""The messages of HPE's `datamovement.DataMover` (nnf-dm's API), made from a table at run time.

Field names, numbers and types are those of nnf-dm's datamovement.proto; what is not used here is
left out, which protobuf allows on both sides.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "datamovement"
SERVICE = f"{PACKAGE}.DataMover"
_FIELD = descriptor_pb2.FieldDescriptorProto
_STRING, _INT32, _INT64 = _FIELD.TYPE_STRING, _FIELD.TYPE_INT32, _FIELD.TYPE_INT64
_ENUM = _INT32  # an enum and an int32 are the same on the wire

# Message → field → number and type, or the message that it holds; "*" for repeated strings.
_TABLE: dict[str, dict[str, tuple[int, Any]]] = {
    "Workflow": {"name": (1, _STRING), "namespace": (2, _STRING)},
    "CreateRequest": {
        "workflow": (1, "Workflow"),
        "source": (2, _STRING),
        "destination": (3, _STRING),
        "dcpOptions": (5, _STRING),
        "slots": (8, _INT32),
        "maxSlots": (9, _INT32),
        "profile": (10, _STRING),
    },
    "CreateResponse": {"uid": (1, _STRING), "status": (2, _ENUM), "message": (3, _STRING)},
    "StatusRequest": {
        "workflow": (1, "Workflow"),
        "uid": (2, _STRING),
        "maxWaitTime": (3, _INT64),
    },
    "CommandStatus": {"command": (1, _STRING), "progress": (2, _INT32)},
    "StatusResponse": {
        "state": (1, _ENUM),
        "status": (2, _ENUM),
        "message": (3, _STRING),
        "commandStatus": (4, "CommandStatus"),
    },
    "CancelRequest": {"workflow": (1, "Workflow"), "uid": (2, _STRING)},
    "CancelResponse": {"status": (1, _ENUM), "message": (2, _STRING)},
    "ListRequest": {"workflow": (1, "Workflow")},
    "ListResponse": {"uids": (1, "*")},
}


def classes() -> dict[str, Any]:
    """Name → class of each message."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3"
    )
    for message, fields in _TABLE.items():
        made = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            _add(made, name, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in _TABLE
    }


def _add(message: Any, name: str, number: int, kind: Any) -> None:
    field = message.field.add(name=name, number=number, label=_FIELD.LABEL_OPTIONAL)
    if kind == "*":
        field.type, field.label = _STRING, _FIELD.LABEL_REPEATED
    elif isinstance(kind, str):
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = kind
