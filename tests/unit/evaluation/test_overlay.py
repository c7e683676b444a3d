from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autoseg.evaluation.overlay import draw_overlay, make_panel


@pytest.mark.parametrize("shape", [(20, 24), (5, 20, 24)])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_picture_is_drawn_of_any_image(tmp_path: Path, shape, channels) -> None:
    image = np.random.default_rng(0).normal(size=(channels, *shape)).astype(np.float32)
    classes = np.zeros(shape, np.uint8)
    classes[..., 5:9, 5:9] = 2
    shown = make_panel("costs $5 or $6", image, classes, np.zeros_like(classes))
    draw_overlay((shown, shown), ("ground", "a_$b$", "[c]"), tmp_path / "overlay.png")
    with Image.open(tmp_path / "overlay.png") as drawn:
        assert drawn.width > drawn.height / 2 > 100


def test_the_plane_with_the_most_foreground_is_shown() -> None:
    image = np.arange(4, dtype=np.float32).reshape(1, 4, 1, 1) * np.ones((1, 4, 6, 6), np.float32)
    reference, prediction = np.zeros((4, 6, 6), np.uint8), np.zeros((4, 6, 6), np.uint8)
    reference[1, 0, 0] = 1
    prediction[2, :2, :2] = 1
    shown = make_panel("a", image, reference, prediction)
    assert shown.prediction.sum() == 4
    assert shown.reference.sum() == 0


def test_a_constant_image_is_drawn(tmp_path: Path) -> None:
    flat = make_panel("a", np.zeros((1, 6, 6), np.float32), *[np.zeros((6, 6), np.uint8)] * 2)
    draw_overlay((flat,), ("ground", "cell"), tmp_path / "overlay.png")
    assert (tmp_path / "overlay.png").is_file()
