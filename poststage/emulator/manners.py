"""The emulator's manners: a burst buffer of its own, and the faults in force."""

import math
import os
import signal
import threading
from typing import Any

import msgspec

from poststage import names
from poststage.copier.engine import CopyError
from poststage.copier.manners import Pace
from poststage.copier.records import ItemRecord
from poststage.emulator import faults as f
from poststage.emulator.held import HeldBuffer
from poststage.errors import UsageError


class EmulatorManners:
    """`copier.manners.Manners` of the emulator."""

    waits_for_sources = False

    def __init__(self, root_fd: int, buffer: HeldBuffer) -> None:
        self._root_fd, self._buffer = root_fd, buffer
        self._lock = threading.Lock()
        self._copied = 0
        self._in_force(f.load(root_fd))

    def _in_force(self, faults: f.Faults) -> None:
        self._faults, self._copied = faults, 0
        self._pace = Pace(faults.limit_mb_s * 1e6)

    def generation(self) -> int:
        """As `Manners.generation`."""
        return self._buffer.generation()

    def open_source(self, path: bytes, generation: int) -> int:
        """As `Manners.open_source`."""
        return self._buffer.open_source(path, generation)

    def piece(self, item: ItemRecord, position: int, offset: int, want: int) -> tuple[int, float]:
        """As `Manners.piece`; may fail the file, and may kill the daemon."""
        faults = self._faults
        if faults.fails(item, position, offset):
            raise CopyError(f"injected fault: fails after {faults.fail_after_bytes} bytes")
        count, wait_s = self._pace.take(faults.room(item, position, offset, want))
        return self._spend(faults, count), wait_s

    def final_size(self, item: ItemRecord, position: int) -> int:
        """As `Manners.final_size`; a file without bytes fails here."""
        if self._faults.fails(item, position, item.size):
            raise CopyError("injected fault")
        return self._faults.size(item)

    def delay_s(self, op: str) -> float:
        """As `Manners.delay_s`."""
        del op
        return math.inf if self._faults.hang else self._faults.slow_s

    def control(self, op: str, value: Any) -> Any:
        """`faults` (get, or set from a value) and `detach`."""
        if op == "faults":
            return msgspec.to_builtins(self._set(value))
        if op == "detach":
            return names.to_text(self._buffer.detach())
        raise UsageError(f"the emulator does not know {names.shown(op)}; nothing was changed")

    def _set(self, value: Any) -> f.Faults:
        if value is not None:
            faults = f.faults_of(value)
            with self._lock:
                f.store(self._root_fd, faults)
                self._in_force(faults)
        return self._faults

    def _spend(self, faults: f.Faults, want: int) -> int:
        """At most `want` bytes of those that are left to the daemon's life."""
        if faults.die_after_bytes is None:
            return want
        with self._lock:
            left = faults.die_after_bytes - self._copied
            if left <= 0:
                self._die(faults)
            count = min(want, left)
            self._copied += count
            return count

    def _die(self, faults: f.Faults) -> None:
        f.store(self._root_fd, msgspec.structs.replace(faults, die_after_bytes=None))
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()
