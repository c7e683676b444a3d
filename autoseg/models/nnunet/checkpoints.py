"""Read nnU-Net's checkpoints, which are pickles, without running the code that they reference.

The weights-only unpickler of torch builds plain values and tensors, and rejects every class and
function that is not on its allowlist. nnU-Net's training log also needs NumPy scalars on it.
"""

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase
from typing import IO, Any, cast

import numpy as np
import torch
from numpy.dtypes import BoolDType, Float32DType, Float64DType, Int64DType

from autoseg.core.errors import ModelError, first_line

NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
"""Modules of the scalar constructor before and since NumPy 2."""

NUMBER_BYTES = 16
"""Maximum size of a NumPy scalar."""


@dataclass(frozen=True)
class Checkpoint:
    """The required contents of a checkpoint.

    Attributes:
        weights: Tensors by nnU-Net's names.
        configuration: Name of the trained configuration.
        mirror_axes: Patch axes mirrored in training.
        trainer: Name of the trainer class, for the record.
    """

    weights: Mapping[str, torch.Tensor]
    configuration: str
    mirror_axes: tuple[int, ...]
    trainer: str


def read_checkpoint(file: BufferedIOBase, name: str) -> Checkpoint:
    """Load a `checkpoint_*.pth`.

    Args:
        file: The checkpoint.
        name: Its name in messages.

    Raises:
        ModelError: If the file is not a checkpoint, is damaged, or references anything other than
            plain values and tensors.
    """
    _check_container(file, name)
    try:
        with torch.serialization.safe_globals(_allowed()):
            stream = cast("IO[bytes]", file)
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _unsafe_checkpoint(name, error) from error
    except Exception as error:
        raise _invalid_checkpoint(name, first_line(error)) from error
    return _checked(content, name)


def _check_container(file: BufferedIOBase, name: str) -> None:
    """Check that the file is a zip as torch writes it, whose entries cannot expand in memory."""
    size = file.seek(0, 2)
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, EOFError) as error:
        raise _invalid_checkpoint(name, first_line(error)) from error
    finally:
        file.seek(0)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise _invalid_checkpoint(
            name, "its entries are compressed, but torch.save never compresses"
        )
    if sum(entry.file_size for entry in entries) > size:
        raise _invalid_checkpoint(name, "its entries declare more bytes than the file has")


def _allowed() -> list[Any]:
    """Return the NumPy scalar types to add to torch's allowlist."""
    numbers = [(_number, f"{module}.scalar") for module in NUMPY_MODULES]
    return [*numbers, np.dtype, BoolDType, Int64DType, Float32DType, Float64DType]


def _number(kind: np.dtype[Any], content: bytes) -> object:
    """Build a number from its bytes; a safe replacement for NumPy's more general constructor."""
    if kind.kind not in "biuf" or len(content) > NUMBER_BYTES:
        msg = f"a NumPy value of type {kind}"
        raise pickle.UnpicklingError(msg)
    number: object = np.frombuffer(content, dtype=kind)[0].item()
    return number


def _unsafe_checkpoint(name: str, error: Exception) -> ModelError:
    named = re.search(r"GLOBAL (\S+)", str(error))
    found = f"it references {named.group(1)}" if named else first_line(error)
    return ModelError(
        f"{name} was not read: {escape_untrusted(found)}. Expected an nnU-Net checkpoint with only "
        "plain values and tensors. No code in it was run. If you trust the file, load it with "
        "nnU-Net and save it again."
    )


def escape_untrusted(text: str) -> str:
    """Escape untrusted text for the terminal and shorten it to 200 characters."""
    return ascii(text[:200])[1:-1]


def _invalid_checkpoint(name: str, found: str) -> ModelError:
    return ModelError(
        f"{name} is not a valid checkpoint ({escape_untrusted(found)}). Expected a file written by "
        "nnU-Net v2 with torch.save. Copy it again from its source."
    )


def _checked(content: object, name: str) -> Checkpoint:
    """Check the types of the checkpoint's fields and return them."""
    if not isinstance(content, dict):
        raise _invalid_checkpoint(
            name, f"it contains a {type(content).__name__} instead of a dictionary"
        )
    weights, arguments = content.get("network_weights"), content.get("init_args")
    trainer = content.get("trainer_name")
    if not isinstance(weights, dict) or not weights or not _are_tensors(weights):
        raise _invalid_checkpoint(name, "it has no network_weights")
    if not isinstance(arguments, dict) or not isinstance(arguments.get("configuration"), str):
        raise _invalid_checkpoint(name, "its init_args do not name the trained configuration")
    return Checkpoint(
        weights=weights,
        configuration=arguments["configuration"],
        mirror_axes=_mirror_axes(content.get("inference_allowed_mirroring_axes"), name),
        trainer=trainer if isinstance(trainer, str) else "",
    )


def _are_tensors(weights: dict[Any, Any]) -> bool:
    """Return True if all values are dense tensors of numbers that are stored in full.

    A tensor may also repeat a few stored values without end.
    """
    return all(
        isinstance(name, str)
        and isinstance(tensor, torch.Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.is_floating_point() | (not tensor.dtype.is_complex)
        and not (tensor.is_quantized or tensor.is_nested)
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
        for name, tensor in weights.items()
    )


def _mirror_axes(axes: object, name: str) -> tuple[int, ...]:
    if axes is None:
        return ()
    if isinstance(axes, list | tuple) and all(
        isinstance(axis, int) and axis in (0, 1, 2) for axis in axes
    ):
        return tuple(sorted(int(axis) for axis in axes))
    raise _invalid_checkpoint(name, "its mirroring axes are not a list of 0, 1 and 2")
