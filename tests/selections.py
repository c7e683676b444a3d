"""A work folder with four trained configurations, one of them a cascade, and a selection."""

from pathlib import Path

import numpy as np
from fakes import save_model, tiny_configuration, tiny_plan

from autoseg.core.case import Image
from autoseg.core.geometry import Geometry, Reorientation
from autoseg.documents.selection import LargestComponent, Selection
from autoseg.documents.store import save
from autoseg.models.loader import LoadOptions

SOLID = tiny_configuration((8, 8, 8), name="3d_fullres")
FLAT = tiny_configuration((8, 8), name="2d", spacing=(1.5, 1.5))
COARSE = tiny_configuration((8, 8, 8), name="3d_lowres", spacing=(2.0, 2.0, 2.0))
CASCADE = tiny_configuration((8, 8, 8), name="3d_cascade_fullres").model_copy(
    update={
        "previous_stage": "3d_lowres",
        "architecture": SOLID.architecture.model_copy(update={"in_channels": 3}),
    }
)
PLAN = tiny_plan(SOLID, FLAT, COARSE, CASCADE, axis_order=(0, 1, 2))
CPU = LoadOptions(device="cpu", precision="float32")
STEP = LargestComponent(values=(3, 7), dice_before=0.5, dice_after=0.75)


def selection_of(*members: str, folds: tuple[int, ...] = (0,), steps=()) -> Selection:
    """Return the selection of some configurations."""
    return Selection(
        members=members,
        folds=(folds,) * len(members),
        postprocessing=steps,
        reason="It is the best.",
        candidates=(),
    )


def save_selected(root: Path) -> Path:
    """Write a work folder with two folds per configuration and a selection of two members."""
    for configuration in (SOLID, FLAT, COARSE, CASCADE):
        save_model(root, PLAN, configuration, (0, 1))
    save(selection_of("3d_fullres", "2d", steps=(STEP,)), root / "selection.json")
    return root


def noise_image() -> Image:
    """Return an image of noise with the channel of `PLAN`."""
    voxels = np.random.default_rng(0).normal(5, 3, (1, 12, 14, 9)).astype(np.float32)
    geometry = Geometry.plain((1.0, 1.0, 1.0))
    unchanged = Reorientation(axes=(0, 1, 2), flips=(False, False, False))
    return Image(voxels, geometry, geometry, unchanged)
