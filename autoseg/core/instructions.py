"""Limit the CPU instructions that oneDNN, torch's convolution library, may use.

Apart from `readers.limits`, no other module sets an environment variable while autoseg runs. oneDNN
has a function for this, but torch does not export it. oneDNN reads the variable once, when a
process computes its first convolution, even if torch was imported before (observed with torch
2.13.0). The variable also records that this process has already chosen.
"""

import os

VARIABLE = "ONEDNN_MAX_CPU_ISA"
"""Source: oneDNN's documentation, "CPU Dispatcher Control"."""

UNLIMITED = "DEFAULT"
"""All instructions of the CPU."""

LIMITED = "AVX512_CORE_BF16"
"""AVX-512 with bfloat16, but not AMX."""


def choices() -> tuple[str, ...]:
    """Return the remaining choices of this process, fastest first; only one if already chosen.

    If the user has set the variable, that is the choice. The mark of a parent process is ignored.
    """
    chosen = os.environ.get(VARIABLE, "")  # noqa: TID251
    if chosen == _note():
        return (UNLIMITED,)
    return (UNLIMITED, LIMITED) if not chosen or chosen.startswith(UNLIMITED) else (chosen,)


def choose(instructions: str) -> None:
    """Use one of `choices` in this process; must be called before its first convolution."""
    os.environ[VARIABLE] = _note() if instructions == UNLIMITED else instructions  # noqa: TID251


def child_environment(instructions: str) -> dict[str, str]:
    """Return the environment for a child process that is limited to `instructions`."""
    return {**os.environ, VARIABLE: instructions}  # noqa: TID251


def _note() -> str:
    """Return the value that marks this process as unlimited; oneDNN ignores it as unknown."""
    return f"{UNLIMITED}-{os.getpid()}"
