"""Output of a command whose terminal has closed."""

import os
import pty
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from autoseg.core.closed_terminal import survive_closed_terminal

survive_closed_terminal()
print("ready", flush=True)
sys.stdin.readline()
print("printed", flush=True)
sys.exit(5)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="terminals of Linux")
def test_a_command_runs_on_after_its_terminal_has_closed() -> None:
    controller, terminal = pty.openpty()
    options = {"stdin": subprocess.PIPE, "stdout": terminal, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], **options) as process:
        assert os.read(controller, 5) == b"ready"
        os.close(terminal)
        os.close(controller)
        _, errors = process.communicate(b"\n")
    assert (process.returncode, errors) == (5, b"")
