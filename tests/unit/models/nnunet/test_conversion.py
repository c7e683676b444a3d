import nnunet_folder
import pytest

from autoseg.core.errors import ModelError
from autoseg.documents.plan import Plan
from autoseg.models.nnunet.conversion import NnunetModel, convert_plan, label_scheme
from autoseg.models.nnunet.plans import NnunetDataset, NnunetPlans, parse_document
from autoseg.normalizers.ct import ComputedTomography
from autoseg.normalizers.zscore import ZScore


def converted(plans=None, dataset=None, configuration="3d_fullres") -> Plan:
    return convert_plan(
        NnunetModel(
            parse_document(NnunetPlans, plans or nnunet_folder.plans(), "plans.json"),
            parse_document(NnunetDataset, dataset or nnunet_folder.dataset(), "dataset.json"),
            configuration,
        )
    )


def scheme(**labels):
    order = labels.pop("regions_class_order", None)
    return label_scheme(NnunetDataset(labels=labels, regions_class_order=order))


def test_every_planned_value_is_kept() -> None:
    plan = converted()
    configuration = plan.configuration(None)
    assert (plan.dataset_name, plan.num_axes, plan.orientation) == ("Dataset007_Hand", 3, "stored")
    assert plan.axis_order == (0, 1, 2)
    assert plan.labels.names == ("background", "bone", "marrow")
    assert configuration.topology.patch_shape == nnunet_folder.PATCH
    assert configuration.spacing == (2.0, 1.0, 1.0)
    assert configuration.batch_size == 2
    assert configuration.blending == "nnunet"
    assert configuration.loss.pool == "batch"
    assert configuration.normalizers == (
        ComputedTomography(mean=40.0, std=20.0, percentile_00_5=-10.0, percentile_99_5=90.0),
    )
    resampling = configuration.resampling
    assert (resampling.image_order, resampling.label_order) == (3, 1)
    assert (resampling.separate_axis_order, resampling.anisotropy_threshold) == (0, 3.0)


def test_a_configuration_inherits() -> None:
    heir = converted(configuration="heir").configuration("heir")
    assert heir.batch_size == 5
    assert heir.architecture == converted().configuration(None).architecture


def test_inheritance_in_a_circle_is_refused() -> None:
    plans = nnunet_folder.plans(inherits_from="heir")
    with pytest.raises(ModelError, match="inherits from itself"):
        converted(plans)


def test_plans_before_version_2_2_give_the_same_network() -> None:
    plans = nnunet_folder.plans()
    configuration = plans["configurations"]["3d_fullres"]
    settings = configuration.pop("architecture")["arch_kwargs"]
    configuration.update(
        UNet_class_name="PlainConvUNet",
        UNet_base_num_features=4,
        unet_max_num_features=6,
        n_conv_per_stage_encoder=settings["n_conv_per_stage"],
        n_conv_per_stage_decoder=settings["n_conv_per_stage_decoder"],
        pool_op_kernel_sizes=settings["strides"],
        conv_kernel_sizes=settings["kernel_sizes"],
    )
    properties = plans.pop("foreground_intensity_properties_per_channel")
    plans["foreground_intensity_properties_by_modality"] = properties
    old = converted(plans).configuration(None)
    new = converted().configuration(None)
    features = {"features": (4, 6, 6)}
    assert old.architecture == new.architecture.model_copy(update=features)
    assert old.normalizers == new.normalizers


def test_pictures_lose_the_axis_that_nnunet_adds() -> None:
    plans = nnunet_folder.plans(
        patch_size=[8, 8], spacing=[1.0, 1.0], normalization_schemes=["ZScoreNormalization"]
    )
    plans.update(
        original_median_shape_after_transp=[1, 12, 12],
        transpose_forward=[0, 2, 1],
        image_reader_writer="NaturalImage2DIO",
    )
    settings = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    settings.update(kernel_sizes=3, strides=[1, 2, 2])
    plan = converted(plans)
    assert (plan.num_axes, plan.axis_order) == (2, (1, 0))
    assert plan.configuration(None).normalizers == (ZScore(),)


def test_a_later_stage_brings_the_earlier_one() -> None:
    plans = nnunet_folder.plans()
    plans["configurations"]["lowres"] = {"inherits_from": "3d_fullres", "spacing": [4.0, 2.0, 2.0]}
    plans["configurations"]["later"] = {
        "inherits_from": "3d_fullres",
        "previous_stage": "lowres",
    }
    plan = converted(plans, configuration="later")
    assert [entry.name for entry in plan.configurations] == ["lowres", "later"]
    assert plan.configuration("later").architecture.in_channels == 1 + 2
    assert plan.configuration("lowres").architecture.in_channels == 1


def test_readers_that_reorient_are_followed() -> None:
    plans = nnunet_folder.plans()
    plans["image_reader_writer"] = "NibabelIOWithReorient"
    assert converted(plans).orientation == "SAR"


def test_regions_are_written_in_their_order() -> None:
    found = scheme(
        background=0, whole=[1, 2, 3], core=[2, 3], active=3, regions_class_order=(1, 2, 3)
    )
    assert found.values == (0, 1, 2, 3)
    assert [(entry.name, entry.values, entry.written_as) for entry in found.regions] == [
        ("whole", (1, 2, 3), 1),
        ("core", (2, 3), 2),
        ("active", (3,), 3),
    ]


def test_the_ignore_label_is_no_class() -> None:
    found = scheme(background=0, tumour=1, ignore=2)
    assert (found.names, found.ignore, found.num_outputs) == (("background", "tumour"), 2, 2)


def test_labels_with_one_value_in_a_list_are_no_regions() -> None:
    assert scheme(background=0, tumour=[1]).regions == ()


@pytest.mark.parametrize(
    "labels",
    [
        {"background": 0, "far": 7},
        {"background": 0},
        {"background": 0, "whole": [1, 2], "core": 2},
        {"background": 0, "whole": [1, 2], "core": 2, "regions_class_order": (1,)},
    ],
    ids=["a gap", "no class", "no order", "a short order"],
)
def test_labels_that_nnunet_could_not_train_on_are_refused(labels) -> None:
    with pytest.raises(ModelError):
        scheme(**labels)


@pytest.mark.parametrize(
    "changes",
    [
        {"preprocessor_name": "OwnPreprocessor"},
        {"normalization_schemes": ["OwnNormalization"]},
        {"normalization_schemes": ["CTNormalization"] * 2},
        {"resampling_fn_data": "resample_torch_fornnunet"},
        {"resampling_fn_probabilities": "no_resampling_hack"},
        {"resampling_fn_data_kwargs": {"order": 3, "order_z": 0, "force_separate_z": True}},
        {"resampling_fn_data_kwargs": {"order": 3, "order_z": 1, "force_separate_z": None}},
        {"resampling_fn_data_kwargs": {"order": 2, "order_z": 0, "force_separate_z": None}},
        {"patch_size": [4, 8, 9]},
        {"spacing": None},
    ],
    ids=str,
)
def test_what_would_be_done_otherwise_is_refused(changes) -> None:
    with pytest.raises(ModelError):
        converted(nnunet_folder.plans(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"image_reader_writer": "OwnReader"},
        {"label_manager": "OwnManager"},
        {"transpose_forward": [0, 1, 1]},
        {"foreground_intensity_properties_per_channel": {}},
        {"configurations": {}},
    ],
    ids=str,
)
def test_plans_that_name_something_unknown_are_refused(changes) -> None:
    with pytest.raises(ModelError):
        converted({**nnunet_folder.plans(), **changes})


def test_a_region_written_as_a_value_of_another_is_refused() -> None:
    dataset = {
        **nnunet_folder.dataset(),
        "labels": {"background": 0, "whole": [1, 2], "core": 2},
        "regions_class_order": [1, 3],
    }
    with pytest.raises(ModelError, match="core"):
        converted(dataset=dataset)


def test_older_names_of_channels_are_read_in_their_order() -> None:
    dataset = NnunetDataset(modality={"10": "b", "2": "a"}, labels={"background": 0})
    assert dataset.channels == ("a", "b")
