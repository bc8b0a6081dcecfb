"""The whole tree of errors, each with its exit code. Imports nothing of ours."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status says (sysexits.h where its meaning fits)."""

    OK = 0
    BUG = 1
    USAGE = 2
    NEEDS_PERSON = 3
    DATA = 65
    RUN_AGAIN = 75
    PERMISSION = 77


EXIT_MEANING: dict[ExitCode, str] = {
    ExitCode.OK: "all done",
    ExitCode.BUG: "a defect in this program; please report it",
    ExitCode.USAGE: "wrong usage or settings; nothing was touched",
    ExitCode.NEEDS_PERSON: "some files need a person (failed, lost or in conflict)",
    ExitCode.DATA: "a state file is damaged; none of its files was touched",
    ExitCode.RUN_AGAIN: "run again later (still running, or a fault that may pass)",
    ExitCode.PERMISSION: "not permitted",
}

# When several apply, the first in this order is the exit status.
_PRECEDENCE = (
    ExitCode.BUG,
    ExitCode.USAGE,
    ExitCode.DATA,
    ExitCode.PERMISSION,
    ExitCode.NEEDS_PERSON,
    ExitCode.RUN_AGAIN,
    ExitCode.OK,
)


def worst(codes: "set[ExitCode]") -> ExitCode:
    """The one exit status that stands for `codes`; OK for none."""
    return next((code for code in _PRECEDENCE if code in codes), ExitCode.OK)


class PoststageError(Exception):
    """An expected failure: `message` says object, place and fact; `hint` what to do."""

    exit_code: ExitCode = ExitCode.BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(PoststageError):
    """The command, the settings or an API call ask for something that makes no sense."""

    exit_code = ExitCode.USAGE


class SourceError(PoststageError):
    """A file that was to be handed over cannot be: missing, special, unreadable."""

    exit_code = ExitCode.NEEDS_PERSON


class StateFileError(PoststageError):
    """A state file is damaged; none of its files was touched."""

    exit_code = ExitCode.DATA


class RunAgainError(PoststageError):
    """Something may pass: a backend that does not answer, a lock that is held."""

    exit_code = ExitCode.RUN_AGAIN


class BackendError(RunAgainError):
    """A backend refused or did not answer; what it holds is unknown, nothing was deleted."""


class PermissionRefusedError(PoststageError):
    """The operating system or the rules for root forbid it."""

    exit_code = ExitCode.PERMISSION
