"""Read nnU-Net's checkpoints, which are pickles, without running anything that they name.

torch's weights-only unpickler builds plain values and tensors, and refuses every class or function
that is not on its list. That list is extended by the numpy numbers in nnU-Net's training log.
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

from autoseg.core.errors import ModelError

NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
"""Where a number's constructor is, before and since numpy 2."""

NUMBER_BYTES = 16
"""As many as the largest numpy number has."""


@dataclass(frozen=True)
class Checkpoint:
    """What is needed of a checkpoint.

    Attributes:
        weights: By nnU-Net's names.
        configuration: Which of the plan's configurations was trained.
        mirror_axes: Patch axes that training mirrored.
        trainer: Name of the class that trained it, for the record.
    """

    weights: Mapping[str, torch.Tensor]
    configuration: str
    mirror_axes: tuple[int, ...]
    trainer: str


def read_checkpoint(file: BufferedIOBase, name: str) -> Checkpoint:
    """Return what a `checkpoint_*.pth` holds.

    Args:
        file: The checkpoint.
        name: What to call it in messages.

    Raises:
        ModelError: If it is not one, is damaged, or names anything but plain values and tensors.
    """
    _check_container(file, name)
    try:
        with torch.serialization.safe_globals(_allowed()):
            stream = cast("IO[bytes]", file)
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(name, error) from error
    except (RuntimeError, ValueError, TypeError, KeyError, EOFError, AttributeError) as error:
        raise _damaged(name, str(error).splitlines()[0] if str(error) else "") from error
    return _checked(content, name)


def _check_container(file: BufferedIOBase, name: str) -> None:
    """Check that the file is the zip of stored entries that torch writes: nothing can swell.

    Raises:
        ModelError: If not.
    """
    size = file.seek(0, 2)
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, EOFError) as error:
        raise _damaged(name, str(error)) from error
    finally:
        file.seek(0)
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise _damaged(name, "its entries are compressed, which torch never does")
    if sum(entry.file_size for entry in entries) > size:
        raise _damaged(name, "its entries claim more bytes than the file has")


def _allowed() -> list[Any]:
    """Return what a checkpoint may name beside torch's own list: numpy's plain numbers."""
    numbers = [(_number, f"{module}.scalar") for module in NUMPY_MODULES]
    return [*numbers, np.dtype, BoolDType, Int64DType, Float32DType, Float64DType]


def _number(kind: np.dtype[Any], content: bytes) -> object:
    """Return a number from its bytes; stands in for numpy's constructor, which can do more."""
    if kind.kind not in "biuf" or len(content) > NUMBER_BYTES:
        msg = f"a numpy value of type {kind}"
        raise pickle.UnpicklingError(msg)
    number: object = np.frombuffer(content, dtype=kind)[0].item()
    return number


def _refused(name: str, error: Exception) -> ModelError:
    named = re.search(r"GLOBAL (\S+)", str(error))
    found = f"it names {named.group(1)}" if named else str(error).strip().splitlines()[0]
    return ModelError(
        f"{name} was not read: {store_safe(found)}, and a checkpoint of nnU-Net holds plain values "
        "and tensors only. Nothing in it was run. If you trust it, load it with nnU-Net and save "
        "it again."
    )


def store_safe(text: str) -> str:
    """Return a stranger's text so that it cannot play tricks on a terminal."""
    return ascii(text[:200])[1:-1]


def _damaged(name: str, found: str) -> ModelError:
    return ModelError(
        f"{name} is not a valid checkpoint ({store_safe(found)}). Expected is what nnU-Net v2 "
        "writes with torch.save; copy it again from where it came."
    )


def _checked(content: object, name: str) -> Checkpoint:
    """Return the checkpoint's parts.

    Raises:
        ModelError: If one is missing or of another kind.
    """
    if not isinstance(content, dict):
        raise _damaged(name, f"it holds a {type(content).__name__}, no dictionary")
    weights, arguments = content.get("network_weights"), content.get("init_args")
    if not isinstance(weights, dict) or not weights or not _are_tensors(weights):
        raise _damaged(name, "it has no network_weights")
    if not isinstance(arguments, dict) or not isinstance(arguments.get("configuration"), str):
        raise _damaged(name, "its init_args do not say which configuration was trained")
    return Checkpoint(
        weights=weights,
        configuration=arguments["configuration"],
        mirror_axes=_mirror_axes(content.get("inference_allowed_mirroring_axes"), name),
        trainer=str(content.get("trainer_name", "")),
    )


def _are_tensors(weights: dict[Any, Any]) -> bool:
    return all(isinstance(k, str) and isinstance(t, torch.Tensor) for k, t in weights.items())


def _mirror_axes(found: object, name: str) -> tuple[int, ...]:
    if found is None:
        return ()
    if isinstance(found, list | tuple) and all(axis in (0, 1, 2) for axis in found):
        return tuple(sorted(int(axis) for axis in found))
    raise _damaged(name, f"it mirrors along {found!a}")
