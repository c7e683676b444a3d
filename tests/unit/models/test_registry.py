"""Model files that are used by name."""

from pathlib import Path

import pytest
from fakes import save_model, tiny_configuration, tiny_plan
from typer.testing import CliRunner

from autoseg.cli import app
from autoseg.core.errors import ModelError
from autoseg.models.registry import ModelRegistry
from autoseg.stages.export import ExportOptions, export

CONFIGURATION = tiny_configuration((8, 8, 8), name="3d_fullres")


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    plan = tiny_plan(CONFIGURATION, axis_order=(0, 1, 2))
    save_model(folder / "work", plan, CONFIGURATION, (0,))
    export(folder / "work", folder / "m.autoseg", ExportOptions())
    return folder / "m.autoseg"


@pytest.fixture
def registry(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    monkeypatch.chdir(tmp_path)
    registry = ModelRegistry(tmp_path / "registry")
    registry.add(model_file, "hippocampus")
    return registry


def test_a_registered_model_is_found_by_name(registry: ModelRegistry, model_file: Path) -> None:
    assert registry.names() == ("hippocampus",)
    assert registry.resolve("hippocampus").read_bytes() == model_file.read_bytes()
    assert registry.read("hippocampus").members == ("3d_fullres",)


def test_other_texts_are_paths(registry: ModelRegistry, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    for text in ("work", "./hippocampus", "a/b", "missing.autoseg"):
        assert registry.resolve(text) == Path(text)
    assert ModelRegistry(tmp_path / "nothing").resolve("hippocampus") == Path("hippocampus")


def test_an_unknown_name_lists_the_known_ones(registry: ModelRegistry) -> None:
    with pytest.raises(ModelError, match=r"has: hippocampus\. Did you mean hippocampus\?"):
        registry.resolve("hipocampus")
    with pytest.raises(ModelError, match="has: hippocampus"):
        registry.remove("liver")


def test_a_name_that_is_also_a_file_is_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    (tmp_path / "hippocampus").mkdir()
    with pytest.raises(ModelError, match=r"--model \./hippocampus for the latter"):
        registry.resolve("hippocampus")


def test_a_changed_or_missing_file_is_refused(registry: ModelRegistry) -> None:
    file = registry.file("hippocampus")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"x")
    with pytest.raises(ModelError, match="has changed"):
        registry.resolve("hippocampus")
    file.unlink()
    with pytest.raises(ModelError, match="is missing"):
        registry.resolve("hippocampus")


def test_a_name_is_used_once_until_it_is_removed(registry: ModelRegistry, model_file: Path) -> None:
    with pytest.raises(ModelError, match="has a model 'hippocampus' already"):
        registry.add(model_file, "hippocampus")
    registry.remove("hippocampus")
    assert not list(registry.folder.iterdir())
    registry.add(model_file, "hippocampus")


@pytest.mark.parametrize("name", ["", "../away", "a/b", ".hidden"])
def test_names_that_lead_elsewhere_are_refused(
    registry: ModelRegistry, model_file: Path, name: str
) -> None:
    with pytest.raises(ModelError, match="Choose another name"):
        registry.add(model_file, name)


def test_a_file_that_is_no_model_is_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    (tmp_path / "bad.autoseg").write_bytes(b"no zip")
    for file in ("bad.autoseg", "missing.autoseg"):
        with pytest.raises(ModelError):
            registry.add(tmp_path / file, "bad")
    assert registry.names() == ("hippocampus",)


def test_the_commands_add_list_and_remove(model_file: Path, tmp_path: Path) -> None:
    def printed(*arguments: str) -> str:
        result = CliRunner().invoke(
            app, ["models", *arguments], env={"AUTOSEG_REGISTRY": str(tmp_path)}
        )
        assert result.exit_code == 0, result.output
        return result.output

    assert "has no models" in printed("list")
    assert "--model liver" in printed("add", str(model_file), "--as", "liver")
    assert "3d_fullres" in printed("list")
    assert "deleted" in printed("remove", "liver")
    assert "has no models" in printed("list")
