"""Cray's libdatawarp through ctypes: the three functions that are used, in declarations of ours."""

import ctypes
import errno
import os
from typing import Any

from poststage.errors import BackendError
from poststage.model import TransferState
from poststage.names import shown

_IMMEDIATE = 0  # enum dw_stage_type
_PATH, _INT, _COUNT = ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int)
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "dw_stage_file_out": (_PATH, _PATH, _INT),
    "dw_query_file_stage": (_PATH, _COUNT, _COUNT, _COUNT, _COUNT),
    "dw_terminate_file_stage": (_PATH,),
}


class Library:
    """libdatawarp; each call gives 0 or -errno. May raise BackendError."""

    def __init__(self, path: str) -> None:
        try:
            library = ctypes.CDLL(path)
            self._functions = {name: getattr(library, name) for name in _FUNCTIONS}
        except (OSError, AttributeError) as error:
            raise BackendError(
                f"{shown(path)}: cannot be loaded: {shown(str(error))}",
                hint="set [backend.datawarp] library to where it is; compute nodes have it",
            ) from error
        for name, types in _FUNCTIONS.items():
            self._functions[name].argtypes, self._functions[name].restype = types, _INT

    def stage_out(self, source: bytes, target: bytes) -> None:
        """Begin to move one file now."""
        self._call("dw_stage_file_out", source, target, _IMMEDIATE)

    def state(self, source: bytes) -> TransferState:
        """How it stands with what was staged from `source`; NOTSTARTED for nothing."""
        counts = [ctypes.c_int() for _ in range(4)]
        self._call("dw_query_file_stage", source, *map(ctypes.byref, counts))
        complete, pending, deferred, failed = (one.value for one in counts)
        if pending or deferred:
            return TransferState.INPROGRESS
        if failed:
            return TransferState.FAILED
        return TransferState.FULLSUCCESS if complete else TransferState.NOTSTARTED

    def terminate(self, source: bytes) -> None:
        """End what is pending of `source`; nothing pending is no error."""
        self._call("dw_terminate_file_stage", source, fine=-errno.EINVAL)

    def _call(self, name: str, source: bytes, *args: Any, fine: int = 0) -> None:
        rc = self._functions[name](source, *args)
        if rc not in {0, fine}:
            fact = os.strerror(-rc) if rc < 0 else f"status {rc}"
            raise BackendError(f"{shown(source)}: {name}: {fact}")
