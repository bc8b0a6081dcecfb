"""IBM's libbbAPI.so through ctypes: its types and functions, and errors as BackendError.

The library of CAST, burst buffer part (bb/include/bbapi.h); x86-64 and ppc64le. No state of ours:
the library is initialised once a process and stays so, since mover and probe share it.
"""

import ctypes
import json
import os
from collections.abc import Sequence
from typing import Any

from poststage.errors import BackendError
from poststage.names import shown

NOTSTARTED, CANCELED, ALL = 0x01, 0x10, 2**64 - 1
_SCOPE_TRANSFER = 1
_JSON = 1
_EALREADY = 114
_TEXT = 64 << 10
_RANKS = ("PMIX_RANK", "OMPI_COMM_WORLD_RANK")
_VERSION = b"{^version^:{^major^:^1^,^bbusage^:^2^},^gitcommit^:^^}"
_HINT = "bbAPI works on compute nodes, in a job with a burst buffer"

_U32, _U64, _INT = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int
_TEXT_IN, _ANY = ctypes.c_char_p, ctypes.c_void_p


class Info(ctypes.Structure):
    """BBTransferInfo_t, 96 bytes."""

    _fields_ = (
        ("handle", _U64),
        ("contribid", _U32),
        ("jobid", _U64),
        ("jobstepid", _U64),
        ("tag", _U64),
        ("numcontrib", _U64),
        ("status", _U64),
        ("numreportingcontribs", _U64),
        ("totalTransferKeyLength", _U64),
        ("totalTransferSize", _U64),
        ("localstatus", _U64),
        ("localTransferSize", _U64),
    )


_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "BB_InitLibrary": (_U32, _TEXT_IN),
    "BB_GetVersion": (ctypes.c_size_t, _TEXT_IN),
    "BB_GetLastErrorDetails": (_INT, _ANY, ctypes.c_size_t, _TEXT_IN),
    "BB_CreateTransferDef": (_ANY,),
    "BB_FreeTransferDef": (_ANY,),
    "BB_AddFiles": (_ANY, _TEXT_IN, _TEXT_IN, _INT),
    "BB_GetTransferHandle": (ctypes.c_ulong, _U64, _ANY, _ANY),
    "BB_StartTransfer": (_ANY, _U64),
    "BB_CancelTransfer": (_U64, _INT),
    "BB_GetTransferList": (_U64, _ANY, _ANY, _ANY),
    "BB_GetTransferInfo": (_U64, _ANY),
}


class Library:
    """The library, initialised. Each method may raise BackendError."""

    def __init__(self, path: str) -> None:
        try:
            self._functions = _loaded(path)
        except (OSError, AttributeError) as error:
            raise BackendError(
                f"{shown(path)}: cannot be loaded: {shown(str(error))}",
                hint="set [backend.bbapi] library to where libbbAPI.so is",
            ) from error
        self._contributor = _rank()
        self._call("BB_InitLibrary", self._contributor, self._version(), fine=_EALREADY)

    def handle(self, tag: int) -> int:
        """The handle of `tag` with this process as its one contributor; made if there is none."""
        contributors, handle = (_U32 * 1)(self._contributor), _U64()
        self._call("BB_GetTransferHandle", tag, 1, contributors, ctypes.byref(handle))
        return handle.value

    def info(self, handle: int) -> Info:
        """What the library knows of a transfer of this job step."""
        info = Info()
        self._call("BB_GetTransferInfo", handle, ctypes.byref(info))
        return info

    def handles(self) -> list[int]:
        """The handles of this job step."""
        room = 1024
        while True:
            count, available, found = _U64(room), _U64(), (_U64 * room)()
            places = ctypes.byref(count), found, ctypes.byref(available)
            self._call("BB_GetTransferList", ALL, *places)
            if available.value <= room:
                return list(found[: count.value])
            room = available.value

    def start(self, handle: int, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        """Start moving each source to its target."""
        definition = ctypes.c_void_p()
        self._call("BB_CreateTransferDef", ctypes.byref(definition))
        try:
            for source, target in pairs:
                self._call("BB_AddFiles", definition, source, target, 0, about=target)
            self._call("BB_StartTransfer", definition, handle)
        finally:
            self._functions["BB_FreeTransferDef"](definition)

    def cancel(self, handle: int) -> None:
        """Ask for a transfer's end."""
        self._call("BB_CancelTransfer", handle, _SCOPE_TRANSFER)

    def _call(self, name: str, *args: Any, fine: int = 0, about: bytes = b"") -> None:
        rc = self._functions[name](*args)
        if rc not in {0, fine}:
            fact = os.strerror(rc) if rc > 0 else f"status {rc}"
            where = f"{shown(about)}: " if about else ""
            raise BackendError(f"{where}{name}: {fact}{self._details()}", hint=_HINT)

    def _details(self) -> str:
        """The library's own words on the last error."""
        buffer, available = ctypes.create_string_buffer(_TEXT), ctypes.c_size_t()
        function = self._functions["BB_GetLastErrorDetails"]
        if function(_JSON, ctypes.byref(available), _TEXT, buffer) != 0:
            return ""
        text = buffer.value.decode("utf-8", "replace")
        try:
            text = str(json.loads(text)["error"]["text"])
        except (ValueError, KeyError, TypeError, RecursionError):
            text = text[:200]
        return f": {shown(text)}" if text else ""

    def _version(self) -> bytes:
        """What a client says it is made for: what the library says it is."""
        buffer = ctypes.create_string_buffer(1024)
        rc = self._functions["BB_GetVersion"](len(buffer), buffer)
        return buffer.value if rc == 0 and buffer.value else _VERSION


def _loaded(path: str) -> dict[str, Any]:
    library = ctypes.CDLL(path)
    found = {}
    for name, types in _FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = types, _INT
        found[name] = function
    return found


def _rank() -> int:
    """The contributor's number: this process's rank; 0 outside of an MPI launcher."""
    texts = (os.environ.get(name, "") for name in _RANKS)
    return next((int(text) for text in texts if text.isdecimal()), 0)
