"""Keep a command running when its terminal closes, for example with an ssh session."""

import errno
import io
import sys
from contextlib import suppress

from typing_extensions import Buffer, override


class _Terminal(io.FileIO):
    """A terminal that discards output once it is closed, instead of raising an error."""

    @override
    def write(self, content: Buffer, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return memoryview(content).nbytes


def survive_closed_terminal() -> None:
    """Let standard output and error discard what is printed after their terminal has closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        with suppress(AttributeError, OSError, ValueError):  # none, closed or replaced
            if isinstance(stream, io.TextIOWrapper) and stream.isatty():
                stream.flush()
                raw = _Terminal(stream.fileno(), "w", closefd=False)
                survivor = io.TextIOWrapper(
                    io.BufferedWriter(raw),
                    encoding=stream.encoding,
                    errors=stream.errors,
                    line_buffering=True,
                )
                setattr(sys, name, survivor)
