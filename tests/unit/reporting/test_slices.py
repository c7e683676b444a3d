"""Slices for the viewer: labels are stored exactly, the slices with foreground are chosen."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from autoseg.reporting.case_look import CaseArrays
from autoseg.reporting.pictures import fitted_size, resized_classes
from autoseg.reporting.slices import sliced_case


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))


def case_of(shape, spacing, channels=1) -> CaseArrays:
    generator = np.random.default_rng(0)
    reference = np.zeros(shape, np.uint8)
    reference[..., 2:5, 3:6] = 1
    if len(shape) == 3:
        reference[:10] = reference[20:] = 0
    prediction = np.roll(reference, 1, axis=-1) * 2
    image = generator.normal(size=(channels, *shape)).astype(np.float32)
    return CaseArrays("case", image, reference, prediction, spacing)


def test_label_layers_hold_the_class_indices_of_the_chosen_slices():
    case = case_of((30, 12, 16), (1.0, 1.0, 1.0))
    drawn = sliced_case(case, "caption")
    assert drawn.slices == tuple(range(9, 23))  # the foreground and two slices on each side
    strip = decoded(drawn.layers["reference"]).reshape(len(drawn.slices), drawn.rows, drawn.columns)
    size = drawn.rows, drawn.columns
    for place, plane in zip(drawn.slices, strip, strict=True):
        assert (plane == resized_classes(case.reference[place - 1], size)).all()
    assert set(np.unique(decoded(drawn.layers["prediction"]))) == {0, 2}
    assert decoded(drawn.image).shape == (len(drawn.slices) * drawn.rows, drawn.columns, 3)
    assert drawn.largest_distance == pytest.approx(1.0)
    assert drawn.first == len(drawn.slices) // 2


def test_many_slices_are_thinned_out_but_the_focus_is_kept():
    case = case_of((30, 12, 16), (1.0, 1.0, 1.0))
    whole = np.repeat(case.reference[12][None], 200, axis=0)
    image = np.zeros((1, *whole.shape), np.float32)
    drawn = sliced_case(CaseArrays("case", image, whole, None, (1.0, 1.0, 1.0)), "", focus=101)
    assert len(drawn.slices) <= 25
    assert drawn.slices[drawn.first] == 102
    assert list(drawn.layers) == ["reference"]


def test_a_picture_is_one_slice():
    drawn = sliced_case(case_of((12, 16), (1.0, 1.0), channels=3), "")
    assert drawn.slices == (1,)


def test_pixels_are_drawn_square():
    assert fitted_size((100, 50), (1.0, 4.0), 200) == (100, 200)
    assert fitted_size((10, 10), (1.0, 1.0), 256) == (40, 40)  # enlarged at most four times
