"""Puts the table that `make soak` has left in soak.txt into docs/reliability.md."""

from pathlib import Path

TABLE, PAGE = Path("soak.txt"), Path("docs/reliability.md")
BEGIN, END = "<!-- soak: begin -->\n", "<!-- soak: end -->\n"


def main() -> None:
    """Write the page anew, if there is a table."""
    if TABLE.exists():
        head, _, rest = PAGE.read_text().partition(BEGIN)
        tail = rest.partition(END)[2]
        PAGE.write_text(f"{head}{BEGIN}\n```\n{TABLE.read_text()}```\n\n{END}{tail}")


if __name__ == "__main__":
    main()
