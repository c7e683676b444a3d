"""Lines of compiled libraries do not reach the terminal."""

import os
from pathlib import Path
from threading import Thread

import pytest

from autoseg.core.c_output import discard_c_output
from autoseg.core.errors import CaseError
from autoseg.readers import read_header


def test_output_within_the_block_is_discarded(capfd: pytest.CaptureFixture[str]) -> None:
    with discard_c_output(), discard_c_output():
        os.write(2, b"from a library")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_threads_may_overlap(capfd: pytest.CaptureFixture[str]) -> None:
    def discard() -> None:
        for _ in range(200):
            with discard_c_output():
                os.write(2, b"from a library")

    threads = [Thread(target=discard) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_a_damaged_file_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "case.mha"
    path.write_bytes(b"ObjectType = Image\nNDims = 3\n" * 20)
    with pytest.raises(CaseError, match=r"case\.mha"):
        read_header(path)
    assert capfd.readouterr().err == ""
