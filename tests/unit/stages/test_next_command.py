"""The commands that messages suggest."""

from pathlib import Path

import pytest

from autoseg.stages.next_command import predict_command, train_command


def test_the_default_work_folder_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    work = Path("autoseg_work/Task04")
    assert train_command(Path("data/Task04"), work, 0) == "autoseg train data/Task04 --fold 0"


def test_another_work_folder_and_a_configuration_are_named(tmp_path: Path) -> None:
    command = train_command(Path("data"), tmp_path, "all", configuration="2d")
    assert command == f"autoseg train data --work {tmp_path} --configuration 2d --fold all"


def test_paths_with_spaces_can_be_copied() -> None:
    assert "'my data'" in train_command(Path("my data"), Path("work"), 0)
    assert predict_command(Path("my model.autoseg")).endswith("--model 'my model.autoseg'")
