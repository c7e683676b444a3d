"""Which of the CPU's instructions oneDNN, torch's library of convolutions, may use.

The only module that sets an environment variable while autoseg runs: oneDNN has a function for it,
but torch does not export that. oneDNN reads the variable when a process computes its first
convolution, also if torch was imported before, and never again (seen with torch 2.13.0). So the
variable is also where a process notes that it has chosen.
"""

import os

VARIABLE = "ONEDNN_MAX_CPU_ISA"
"""Source: oneDNN's documentation, "CPU Dispatcher Control"."""

UNLIMITED = "DEFAULT"
"""All instructions that the CPU has."""

LIMITED = "AVX512_CORE_BF16"
"""AVX-512 with bfloat16, but not AMX."""


def choices() -> tuple[str, ...]:
    """Return the choices left to this process, the fastest first; one if it has chosen.

    A user who sets the variable has chosen. What a parent process noted for itself does not count.
    """
    chosen = os.environ.get(VARIABLE, "")  # noqa: TID251
    if chosen == _note():
        return (UNLIMITED,)
    return (UNLIMITED, LIMITED) if not chosen or chosen.startswith(UNLIMITED) else (chosen,)


def choose(instructions: str) -> None:
    """Make this process use one of `choices`; it must not have computed a convolution before."""
    os.environ[VARIABLE] = _note() if instructions == UNLIMITED else instructions  # noqa: TID251


def child_environment(instructions: str) -> dict[str, str]:
    """Return the environment of a child process that may use some instructions."""
    return {**os.environ, VARIABLE: instructions}  # noqa: TID251


def _note() -> str:
    """Return the value that marks this process as unlimited; oneDNN ignores unknown values."""
    return f"{UNLIMITED}-{os.getpid()}"
