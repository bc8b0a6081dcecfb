"""What the system refused is said with object, place and fact, under the exit code that fits."""

import errno
import os

import pytest

from poststage.agent.explain import explained
from poststage.errors import PermissionRefusedError, PoststageError, RunAgainError, UsageError


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, PermissionRefusedError),
        (errno.EROFS, PermissionRefusedError),
        (errno.ENOTDIR, UsageError),
        (errno.ENAMETOOLONG, UsageError),
        (errno.ENOENT, UsageError),
        (errno.ENOSPC, RunAgainError),
        (errno.ESTALE, RunAgainError),
        (errno.EIO, RunAgainError),
    ],
)
def test_the_errors_number_tells_whether_to_try_again(
    number: int, kind: type[PoststageError]
) -> None:
    with pytest.raises(kind) as caught, explained("state file", "nothing was started"):
        raise OSError(number, os.strerror(number), b"/a\nb")
    said = f"state file: /a\\x0ab: {os.strerror(number)}; nothing was started"
    assert caught.value.message == said


def test_a_name_is_not_said_twice() -> None:
    with pytest.raises(PoststageError) as caught, explained("file /a/b", "it was left alone"):
        raise OSError(errno.EIO, "broken", "/a/b")
    assert caught.value.message == "file /a/b: broken; it was left alone"


def test_an_error_without_a_name_is_said_without_one() -> None:
    with (
        pytest.raises(PoststageError, match=r"^it: No space left on device; so$"),
        explained("it", "so"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_no_refusal_of_the_system_passes() -> None:
    with pytest.raises(ValueError, match="mine"), explained("it", "so"):
        raise ValueError("mine")
