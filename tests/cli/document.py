"""Writes docs/cli.md from the commands' own help.

python -m tests.cli.document > docs/cli.md
"""

from collections.abc import Iterator

import click

from poststage.cli.main import COMMANDS, load, poststage

_HEAD = """# The commands

Each command's `--help`, as it is printed at 80 columns. Made by `python -m tests.cli.document`;
a test holds it against the commands.

Acting commands print what they did for people on stderr; reading commands (`status`, `show`,
`site show`, `emulator status`) print it on stdout. With `--json` the one thing on stdout is a JSON
document in ASCII, names in the written form of docs/state-file-format.md. Off a terminal nothing
is coloured, wrapped or cut; NO_COLOR is respected. An interrupted command ends with 130 (`finalize`
with its report and the status that this has: it stops at the next file, as on SIGTERM), one
whose reader has gone away with 141. A defect ends with 1 and one line; POSTSTAGE_DEBUG=1 shows
where it came from.
"""


def pages() -> Iterator[tuple[str, str]]:
    """(command path, its help) of each command, in the help's order."""
    top = click.Context(poststage, info_name="poststage", max_content_width=80)
    yield "poststage", poststage.get_help(top)
    for name in COMMANDS:
        yield from _pages(load(name), name, top)


def _pages(command: click.Command, name: str, above: click.Context) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=name, parent=above, max_content_width=80)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            yield from _pages(command.commands[sub], sub, context)


def document() -> str:
    """The whole page."""
    return _HEAD + "".join(f"\n## {path}\n\n```\n{text}\n```\n" for path, text in pages())


if __name__ == "__main__":
    print(document(), end="")
