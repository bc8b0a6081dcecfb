"""What root does to a file in a user's directory is no more than that user could do."""

import os
import stat

import pytest

from poststage.errors import PermissionRefusedError
from poststage.finalize.trust import check_directory, check_file, check_link
from poststage.model import Meta
from tests.finalize.users import OTHER, PLAIN


def meta(uid: int = PLAIN, gid: int = PLAIN, mode: int = 0o644) -> Meta:
    return Meta(1, uid, gid, mode, 0, 0)


def directory(uid: int = PLAIN, mode: int = 0o755, gid: int = PLAIN) -> os.stat_result:
    """What stat says of a directory."""
    return os.stat_result((stat.S_IFDIR | mode, 1, 1, 2, uid, gid, 0, 0, 0, 0))


ROOTS, USERS, OPEN = directory(0), directory(), directory(0, 0o777)


def test_in_a_directory_of_roots_alone_everything_may_be_restored() -> None:
    check_file(meta(0, 0), meta(OTHER, OTHER, 0o6755), ROOTS, proven=False)
    check_directory(directory(0), meta(OTHER, OTHER, 0o2755), ROOTS)


@pytest.mark.parametrize("there", [USERS, OPEN, directory(0, 0o1777), directory(0, 0o775)])
def test_a_file_of_roots_that_others_may_have_put_there_has_to_be_proven(
    there: os.stat_result,
) -> None:
    with pytest.raises(PermissionRefusedError, match="nothing proves it"):
        check_file(meta(0, 0), meta(), there, proven=False)
    check_file(meta(0, 0), meta(), there, proven=True)


@pytest.mark.parametrize("proven", [True, False])
def test_a_users_file_is_given_to_nobody_else(proven: bool) -> None:
    check_file(meta(), meta(mode=0o4755), USERS, proven=proven)
    with pytest.raises(PermissionRefusedError, match=f"not to root or uid {OTHER}"):
        check_file(meta(), meta(OTHER), USERS, proven=proven)
    with pytest.raises(PermissionRefusedError):
        check_file(meta(), meta(0), USERS, proven=proven)


@pytest.mark.parametrize("wanted", [meta(gid=0), meta(gid=0, mode=0o2755)])
def test_a_users_file_gets_no_group_that_the_user_is_not_in(wanted: Meta) -> None:
    with pytest.raises(PermissionRefusedError, match="not in group 0"):
        check_file(meta(), wanted, USERS, proven=True)


def test_a_users_file_of_a_foreign_group_gets_no_setgid_bit() -> None:
    check_file(meta(gid=0), meta(gid=0), USERS, proven=True)
    with pytest.raises(PermissionRefusedError):
        check_file(meta(gid=0), meta(gid=0, mode=0o2755), USERS, proven=True)


@pytest.mark.parametrize("uid", [0, OTHER])
def test_a_directory_is_given_to_nobody_but_its_owner(uid: int) -> None:
    check_directory(directory(), meta(), USERS)
    with pytest.raises(PermissionRefusedError):
        check_directory(directory(uid, gid=uid), meta(PLAIN), USERS)


def test_a_further_name_is_made_only_where_who_owns_the_one_owns_the_other() -> None:
    check_link(ROOTS, USERS)
    check_link(USERS, directory())
    for origin, there in (
        (USERS, ROOTS),
        (USERS, directory(OTHER)),
        (USERS, directory(mode=0o777)),
    ):
        with pytest.raises(PermissionRefusedError):
            check_link(origin, there)
