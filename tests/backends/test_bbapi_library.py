"""The library's types are the ABI's."""

import ctypes

from poststage.backends.bbapi_library import Info

# bb/include/bbapi_types.h on x86-64 and ppc64le
OFFSETS = {
    "handle": 0,
    "contribid": 8,
    "jobid": 16,
    "jobstepid": 24,
    "tag": 32,
    "numcontrib": 40,
    "status": 48,
    "numreportingcontribs": 56,
    "totalTransferKeyLength": 64,
    "totalTransferSize": 72,
    "localstatus": 80,
    "localTransferSize": 88,
}


def test_the_info_has_the_size_and_offsets_of_the_vendor_s() -> None:
    assert ctypes.sizeof(Info) == 96
    assert {name: getattr(Info, name).offset for name in OFFSETS} == OFFSETS
