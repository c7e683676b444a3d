import numpy as np
import pytest
from skimage.transform import resize

from autoseg.core.case import Image, LabelledCase
from autoseg.core.errors import CaseError
from autoseg.core.geometry import Geometry, LengthUnit, Reorientation
from autoseg.documents.preparation import Resampling
from autoseg.preprocessing import prepare
from autoseg.preprocessing.prepare import prepare_case, prepare_image


def image_of(voxels: np.ndarray, spacing: tuple[float, ...], unit: LengthUnit = "mm") -> Image:
    geometry, axes = Geometry.plain(spacing, unit), len(spacing)
    turn = Reorientation(axes=tuple(range(axes)), flips=(False,) * axes)
    return Image(voxels=voxels, geometry=geometry, stored_geometry=geometry, reorientation=turn)


def brain(shape: tuple[int, ...] = (10, 12, 14), channels: int = 1) -> np.ndarray:
    """Positive noise with an empty border one voxel wide."""
    voxels = np.random.default_rng(0).uniform(1, 9, (channels, *shape)).astype(np.float32)
    border = np.ones(shape, dtype=bool)
    border[(slice(1, -1),) * len(shape)] = False
    voxels[:, border] = 0
    return voxels


def test_cropping_normalising_and_resampling_follow_each_other(make_plan) -> None:
    plan = make_plan((0.5, 1.0, 1.25), normalizers=("zscore",))
    voxels = brain()
    prepared = prepare_image(image_of(voxels, (1.0, 1.0, 1.0)), plan, plan.configurations[0])
    inner = voxels[0, 1:-1, 1:-1, 1:-1]
    scaled = (inner - inner.mean()) / inner.std()
    expected = resize(scaled, (16, 10, 10), order=3, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(prepared.voxels[0], expected, atol=1e-4)


def test_the_restoration_tells_every_step(make_plan) -> None:
    plan = make_plan((2.0, 1.0, 1.0), axis_order=(2, 0, 1))
    prepared = prepare_image(image_of(brain(), (1.0, 1.0, 4.0)), plan, plan.configurations[0])
    restoration = prepared.restoration
    assert restoration.axis_order == (2, 0, 1)
    assert restoration.full_shape == (10, 12, 14)
    assert restoration.crop == ((1, 13), (1, 9), (1, 11))
    assert restoration.cropped_shape == (12, 8, 10)
    assert restoration.spacing == (4.0, 1.0, 1.0)
    assert restoration.prepared_spacing == (2.0, 1.0, 1.0)
    assert restoration.prepared_shape == (24, 8, 10)
    assert prepared.voxels.shape == (1, 24, 8, 10)


def test_slices_for_a_two_dimensional_network_do_not_mix(make_plan) -> None:
    plan = make_plan((0.5, 0.5))
    voxels = brain((6, 8, 8))
    prepared = prepare_image(image_of(voxels, (4.0, 1.0, 1.0)), plan, plan.configurations[0])
    assert prepared.voxels.shape == (1, 4, 12, 12)
    assert prepared.restoration.prepared_spacing == (4.0, 0.5, 0.5)
    expected = resize(voxels[0, 2, 1:-1, 1:-1], (12, 12), order=3, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(prepared.voxels[0, 1], expected, atol=1e-4)


def test_a_truly_two_dimensional_picture_stays_two_dimensional(make_plan) -> None:
    plan = make_plan((1.0, 1.0), num_axes=2, normalizers=("rgb", "rgb", "rgb"))
    picture = brain((9, 11), channels=3) * 20
    prepared = prepare_image(image_of(picture, (1.0, 1.0)), plan, plan.configurations[0])
    np.testing.assert_allclose(prepared.voxels, picture[:, 1:-1, 1:-1] / 255, rtol=1e-6)


def test_masked_normalisation_leaves_a_hole_outside_the_mask_at_zero(make_plan) -> None:
    plan = make_plan(normalizers=({"kind": "zscore", "masked": True},))
    voxels = brain()
    voxels[0, :3, :3] = 0  # a bay at the corner stays outside, a hole would be filled
    prepared = prepare_image(image_of(voxels, (1.0,) * 3), plan, plan.configurations[0])
    assert not prepared.voxels[0, :2, :2].any()
    inside = prepared.voxels[0, 2:]
    whole = np.asarray(prepared.voxels)
    assert abs(whole[whole != 0].mean()) < 1e-5
    assert np.all(inside != 0)


def test_splines_leave_nothing_outside_the_mask_of_a_training_case(make_plan) -> None:
    plan = make_plan((0.8, 0.8, 0.8), normalizers=({"kind": "zscore", "masked": True}, "zscore"))
    voxels = brain((22, 22, 22), channels=2)[:, 1:-1, 1:-1, 1:-1]
    ball = ((np.indices((20, 20, 20)) - 9.5) ** 2).sum(axis=0) < 40
    ball[0, 0, 0] = ball[-1, -1, -1] = True  # so that nothing is cropped
    voxels[:, ~ball] = 0
    classes = np.zeros((20, 20, 20), np.uint8)
    classes[0, :2, 10:14] = 1  # outside of the mask: somebody annotated it, so it is kept
    image = image_of(voxels, (1.0, 1.0, 1.0))
    case = LabelledCase(name="ball", image=image, classes=classes)
    masked, unmasked = prepare_case(case, plan, plan.configurations[0]).image.voxels
    whole, other = prepare_image(image, plan, plan.configurations[0]).voxels
    inside = resize((ball | (classes > 0)).astype(float), whole.shape, order=1, mode="edge") >= 0.5
    assert np.count_nonzero(whole[~inside]) > 1000
    assert not masked[~inside].any()
    np.testing.assert_array_equal(masked[inside], whole[inside])
    np.testing.assert_array_equal(unmasked, other)


def test_an_image_without_any_nonzero_voxel_is_kept_whole(make_plan) -> None:
    plan = make_plan(normalizers=("zscore",))
    blank = np.zeros((1, 4, 5, 6), dtype=np.float32)
    prepared = prepare_image(image_of(blank, (1.0,) * 3), plan, plan.configurations[0])
    assert np.array_equal(prepared.voxels, blank)


def test_labels_end_on_the_grid_of_the_image(make_plan) -> None:
    plan = make_plan((0.5, 1.0, 1.0), axis_order=(2, 0, 1))
    voxels = brain()
    classes = (voxels[0] > 5).astype(np.uint8)
    case = LabelledCase("one", image_of(voxels, (1.0,) * 3), classes)
    prepared = prepare_case(case, plan, plan.configurations[0])
    assert prepared.classes.shape == prepared.image.voxels.shape[1:]
    assert prepared.classes.dtype == np.uint8
    turned = classes.transpose(2, 0, 1)[1:-1, 1:-1, 1:-1]
    assert np.array_equal(prepared.classes[::2], turned)  # a quarter of a voxel away
    assert np.array_equal(prepared.foreground[1], np.argwhere(prepared.classes == 1))


def test_resampling_orders_of_the_plan_are_used(make_plan) -> None:
    plan = make_plan((0.5, 0.5, 0.5), resampling=Resampling(image_order=0, label_order=0))
    voxels = brain()
    case = LabelledCase("one", image_of(voxels, (1.0,) * 3), (voxels[0] > 5).astype(np.uint8))
    prepared = prepare_case(case, plan, plan.configurations[0])
    assert np.array_equal(prepared.classes == 1, prepared.image.voxels[0] > 5)


def test_a_missing_channel_is_named_with_what_the_plan_expects(make_plan) -> None:
    plan = make_plan(normalizers=("none", "none"))
    with pytest.raises(
        CaseError, match=r"1 channel; the network expects 2: channel 0, channel 1.* all"
    ):
        prepare_image(image_of(brain(), (1.0,) * 3), plan, plan.configurations[0])


def test_channels_too_many_are_to_be_left_out(make_plan) -> None:
    plan = make_plan()
    twice = np.concatenate([brain(), brain()])
    with pytest.raises(
        CaseError, match=r"2 channels; the network expects 1: .*Leave out the others"
    ):
        prepare_image(image_of(twice, (1.0,) * 3), plan, plan.configurations[0])


def test_a_picture_for_a_plan_of_volumes_is_refused(make_plan) -> None:
    plan = make_plan()
    for channels in (1, 3):  # a colour picture is a picture first
        picture = np.concatenate([brain((8, 8))] * channels)
        with pytest.raises(CaseError, match="2 axes; the network expects volumes with 3 axes"):
            prepare_image(image_of(picture, (1.0,) * 2), plan, plan.configurations[0])


def test_labels_of_another_shape_are_refused(make_plan) -> None:
    plan = make_plan()
    case = LabelledCase("odd one", image_of(brain(), (1.0,) * 3), np.zeros((3, 3, 3), np.uint8))
    with pytest.raises(CaseError, match="odd one"):
        prepare_case(case, plan, plan.configurations[0])


@pytest.mark.parametrize("ignore", [9, None], ids=["among ignored slices", "among background"])
def test_an_annotated_slice_survives_where_its_axis_is_halved(make_plan, ignore) -> None:
    voxels = 1 + brain((8, 12, 12))
    classes = np.full((8, 12, 12), 0 if ignore is None else 3, np.uint8)
    classes[4] = np.indices((12, 12))[0] // 4  # the background too is annotated there
    plan = make_plan((2.0, 1.0, 1.0), ignore=ignore)
    case = LabelledCase("a", image_of(voxels, (1.0, 1.0, 1.0)), classes)
    prepared = prepare_case(case, plan, plan.configurations[0])
    assert prepared.classes.dtype == np.uint8
    assert np.array_equal(prepared.classes[2], classes[4])
    others = np.delete(prepared.classes, 2, axis=0)
    assert np.all(others == (0 if ignore is None else 3))
    annotated = prepared.foreground[0]
    assert len(annotated) == (0 if ignore is None else 144)


def test_an_image_that_a_wrong_spacing_would_blow_up_is_refused(make_plan, monkeypatch) -> None:
    monkeypatch.setattr(prepare, "available_bytes", lambda: 2**20)
    plan = make_plan((1.0, 1.0, 1.0))
    image = image_of(brain(), (100.0, 100.0, 100.0))
    with pytest.raises(CaseError, match=r"10 × 12 × 14 voxels of 100 .* become 800 .* spacing in"):
        prepare_image(image, plan, plan.configurations[0])


def test_every_channel_has_its_own_normaliser(make_plan) -> None:
    plan = make_plan(normalizers=("none", "zscore"))
    voxels = brain(channels=2)
    prepared = prepare_image(image_of(voxels, (1.0,) * 3), plan, plan.configurations[0])
    inner = voxels[:, 1:-1, 1:-1, 1:-1]
    np.testing.assert_array_equal(prepared.voxels[0], inner[0])
    np.testing.assert_allclose(
        prepared.voxels[1], (inner[1] - inner[1].mean()) / inner[1].std(), atol=1e-4
    )


def test_masked_normalisation_counts_enclosed_holes(make_plan) -> None:
    plan = make_plan(normalizers=({"kind": "zscore", "masked": True},))
    voxels = brain()
    voxels[0, 4:6, 5:7, 5:7] = 0  # enclosed
    prepared = prepare_image(image_of(voxels, (1.0,) * 3), plan, plan.configurations[0])
    inner = voxels[0, 1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(prepared.voxels[0], (inner - inner.mean()) / inner.std(), atol=1e-4)


def test_labels_of_anisotropic_volumes_take_the_nearest_plane_also_between_two(make_plan) -> None:
    plan = make_plan((8.0, 1.0, 1.0))
    voxels = 1 + brain((4, 12, 12))
    classes = np.zeros((4, 12, 12), np.uint8)
    classes[[0, 3]] = 1
    case = LabelledCase("a", image_of(voxels, (4.0, 1.0, 1.0)), classes)
    prepared = prepare_case(case, plan, plan.configurations[0])
    assert [np.unique(plane).tolist() for plane in prepared.classes] == [[0], [1]]


@pytest.mark.parametrize(("step", "unit"), [(0.5, "µm"), (500.0, "nm"), (5e-4, "mm")])
def test_a_voxel_size_in_another_unit_is_converted_to_that_of_the_plan(
    step: float, unit: LengthUnit, make_plan
) -> None:
    plan = make_plan((0.25, 0.5), num_axes=2).model_copy(update={"length_unit": "µm"})
    image = image_of(np.ones((1, 12, 14), np.float32), (step, step), unit)
    prepared = prepare_image(image, plan, plan.configurations[0])
    assert prepared.restoration.prepared_shape == (24, 14)


@pytest.mark.parametrize(
    ("planned", "unit", "found"),
    [("µm", "mm", "no voxel size, or one of 1 mm.*are in µm"), ("mm", "µm", "is in µm; .* none")],
)
def test_an_image_without_a_unit_is_refused_beside_one_of_microscopy(
    planned: LengthUnit, unit: LengthUnit, found: str, make_plan
) -> None:
    plan = make_plan((1.0, 1.0), num_axes=2).model_copy(update={"length_unit": planned})
    image = image_of(np.ones((1, 12, 14), np.float32), (1.0, 1.0), unit)
    with pytest.raises(CaseError, match=found):
        prepare_image(image, plan, plan.configurations[0])
