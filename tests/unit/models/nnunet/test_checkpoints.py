import io
import os
import pickle
import zipfile
from fractions import Fraction
from pathlib import Path

import nnunet_folder
import numpy as np
import pytest
import torch

from autoseg.core.errors import ModelError
from autoseg.models.nnunet.checkpoints import read_checkpoint


def saved(content: object) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return file


class Hostile:
    """Would make a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_what_is_needed_of_a_checkpoint_comes_out() -> None:
    found = read_checkpoint(saved(nnunet_folder.checkpoint()), "it")
    assert found.configuration == "3d_fullres"
    assert found.mirror_axes == (0, 1, 2)
    assert found.trainer == "nnUNetTrainer"
    assert set(found.weights) == set(nnunet_folder.weights())


def test_a_model_that_never_mirrored_is_not_mirrored() -> None:
    content = nnunet_folder.checkpoint(inference_allowed_mirroring_axes=None)
    assert read_checkpoint(saved(content), "it").mirror_axes == ()


def test_a_pickle_that_would_run_something_is_refused_by_name(tmp_path) -> None:
    trap = tmp_path / "sprung"
    file = saved(nnunet_folder.checkpoint(logging=Hostile(trap)))
    with pytest.raises(ModelError, match="mkdir"):
        read_checkpoint(file, "checkpoint")
    assert not trap.exists()


def test_a_class_of_a_library_is_refused_by_name() -> None:
    file = saved(nnunet_folder.checkpoint(logging=Fraction(1, 3)))
    with pytest.raises(ModelError, match="Fraction"):
        read_checkpoint(file, "checkpoint")


def test_numpy_arrays_of_objects_are_refused() -> None:
    trap = np.array([{}], dtype=object)
    with pytest.raises(ModelError, match="was not read"):
        read_checkpoint(saved(nnunet_folder.checkpoint(logging=trap)), "checkpoint")


def test_a_bare_pickle_is_no_checkpoint(tmp_path) -> None:
    trap = tmp_path / "sprung"
    with pytest.raises(ModelError, match="not a valid checkpoint"):
        read_checkpoint(io.BytesIO(pickle.dumps(Hostile(trap))), "checkpoint")
    assert not trap.exists()


def test_a_checkpoint_that_swells_is_refused() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(ModelError, match="compressed"):
        read_checkpoint(packed, "checkpoint")


@pytest.mark.parametrize("error", [pickle.UnpicklingError(), RuntimeError()], ids=repr)
def test_an_error_without_text_is_named_by_its_type(error, monkeypatch) -> None:
    def load(*_, **__):
        raise error

    monkeypatch.setattr("torch.load", load)
    with pytest.raises(ModelError, match=type(error).__name__):
        read_checkpoint(saved(nnunet_folder.checkpoint()), "checkpoint")


def test_a_truncated_checkpoint_is_refused() -> None:
    whole = saved(nnunet_folder.checkpoint()).getvalue()
    with pytest.raises(ModelError, match="not a valid checkpoint"):
        read_checkpoint(io.BytesIO(whole[: len(whole) // 2]), "checkpoint")


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {},
        nnunet_folder.checkpoint(network_weights={}),
        nnunet_folder.checkpoint(network_weights={"a": 1}),
        nnunet_folder.checkpoint(init_args=None),
        nnunet_folder.checkpoint(init_args={"fold": 0}),
        nnunet_folder.checkpoint(inference_allowed_mirroring_axes=(0, 7)),
        nnunet_folder.checkpoint(inference_allowed_mirroring_axes=[torch.zeros(3)]),
        nnunet_folder.checkpoint(network_weights={"a": torch.eye(3).to_sparse()}),
        nnunet_folder.checkpoint(network_weights={"a": torch.zeros(1).expand(10**6, 10**6)}),
        nnunet_folder.checkpoint(network_weights={"a": torch.zeros(3, dtype=torch.complex64)}),
        nnunet_folder.checkpoint(network_weights={"a": torch.zeros(3, device="meta")}),
    ],
    ids=[
        *("list", "empty", "no weights", "no tensors", "no arguments", "no name", "axis 7"),
        *("axis of a tensor", "sparse", "repeated", "complex", "without values"),
    ],
)
def test_what_is_no_checkpoint_of_nnunet_is_refused(content) -> None:
    with pytest.raises(ModelError, match="not a valid checkpoint"):
        read_checkpoint(saved(content), "checkpoint")
