"""Names and trees that tests hand over."""

ODD_NAMES = (
    b"new\nline",
    b"tab\t",
    b"\x1b[31mred",
    b"\xff\xfe",
    b"%41",
    b'"quoted\\"',
    b" ",
    b"-rf",
    "ünï".encode(),
    b"\xe2\x80\xaereversed",
    b"n" * 255,
    b"{}",
    b"...",
)
"""What a file may be called: control characters, bad UTF-8, the longest, the confusing."""
