"""The command line as text. Run this file to write `golden/command_line.txt` anew."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from autoseg.cli import app

LISTING = Path(__file__).parent / "golden" / "command_line.txt"


def commands() -> dict[str, Any]:
    """Return the parsers of all commands, by name; those of a group with the group's name."""
    return dict(_commands_of(typer.main.get_command(app), ()))


def _commands_of(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands_of(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def listing() -> str:
    """Return all commands with their arguments and options, types, defaults and help texts."""
    entries = [("\n".join(_lines(name, command))) for name, command in commands().items()]
    return "\n\n".join(entries) + "\n"


def _lines(name: str, command: Any) -> Iterator[str]:
    types = inspect.signature(command.callback).parameters
    yield f"autoseg {name}"
    for parameter in command.params:
        if parameter.name == "help":
            continue
        spelled = " / ".join((*parameter.opts, *parameter.secondary_opts))
        yield f"  {spelled}: {_type_name(types[parameter.name].annotation)}"
        yield f"      {parameter.help}"
        yield f"      {_default(parameter)}"


def _type_name(kind: Any) -> str:
    kind = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    return name.replace("pathlib.", "").replace("typing.", "")


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    stated = parameter.show_default
    return f"default: {stated if isinstance(stated, str) else parameter.default}"


if __name__ == "__main__":
    LISTING.write_text(listing(), encoding="utf-8")
