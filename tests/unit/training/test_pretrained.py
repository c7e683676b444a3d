"""Weights go where they fit, by name and shape, and the rest keeps its random start."""

import pytest
import torch

from autoseg.architectures import Topology
from autoseg.architectures.residual_encoder_unet import ResidualEncoderUNet
from autoseg.architectures.unet import UNet
from autoseg.core.errors import TrainingError
from autoseg.documents.recipe import SHORT_RECIPE, Recipe
from autoseg.training.pretrained import Interface, Pretrained, fine_tuning

THERE = Interface(channels=("T1", "T2"), outputs=("background", "liver", "spleen"))
STEMS = {UNet: "encoder.0.0.weight", ResidualEncoderUNet: "encoder.0.0.0.weight"}


def network(interface: Interface, *, kind=UNet, features=(4, 6, 6), extra=0, seed=0):
    topology = Topology(
        patch_shape=(8, 8, 8), strides=((1,) * 3, (2,) * 3, (2,) * 3), kernels=((3,) * 3,) * 3
    )
    architecture = kind.for_topology(
        topology,
        in_channels=len(interface.channels) + extra,
        num_classes=len(interface.outputs),
    ).model_copy(update={"features": features})
    torch.manual_seed(seed)
    return architecture.build()


def given(here: Interface, *, there: Interface = THERE, **settings: object) -> Pretrained:
    tensors = network(there, seed=1, **settings).state_dict()
    return Pretrained(model="Abdomen, 3d, fold 0", tensors=tensors, there=there, here=here)


@pytest.mark.parametrize("kind", STEMS)
def test_all_weights_of_an_equal_network_are_taken(kind):
    target = network(THERE, kind=kind)
    pretrained = given(THERE, kind=kind)

    pretraining = pretrained.load_into(target)

    for name, tensor in target.state_dict().items():
        torch.testing.assert_close(tensor, pretrained.tensors[name])
    assert set(pretraining.taken.names) == target.state_dict().keys()
    assert pretraining.adapted.names == pretraining.fresh.names == pretraining.unused.names == ()
    assert pretraining.taken.weights == sum(p.numel() for p in target.state_dict().values())


@pytest.mark.parametrize("kind", STEMS)
def test_channels_are_matched_by_name_and_new_ones_get_the_mean(kind):
    here = Interface(channels=("FLAIR", "t2", "T1"), outputs=THERE.outputs)
    target = network(here, kind=kind)
    pretrained = given(here, kind=kind)
    source = pretrained.tensors[STEMS[kind]]

    pretraining = pretrained.load_into(target)

    stem = target.state_dict()[STEMS[kind]]
    torch.testing.assert_close(stem[:, 0], source.mean(dim=1))
    torch.testing.assert_close(stem[:, 1], source[:, 1])
    torch.testing.assert_close(stem[:, 2], source[:, 0])
    assert pretraining.adapted.names == (STEMS[kind],)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_channels_without_a_namesake_answer_equal_images_as_the_source_does(count):
    here = Interface(channels=tuple(f"CT {index}" for index in range(count)), outputs=THERE.outputs)
    target = network(here)
    pretrained = given(here)
    source = network(THERE, seed=1)

    pretrained.load_into(target)

    image = torch.rand(1, 1, 8, 8, 8)
    with torch.no_grad():
        expected = source.encoder[0][0](image.expand(-1, 2, -1, -1, -1))
        found = target.encoder[0][0](image.expand(-1, count, -1, -1, -1))
    torch.testing.assert_close(found, expected)


def test_equally_many_channels_of_other_names_are_taken_in_their_order():
    here = Interface(channels=("red", "green"), outputs=THERE.outputs)

    pretraining = given(here).load_into(network(here))

    assert STEMS[UNet] in pretraining.taken.names


def test_inputs_from_an_earlier_stage_keep_their_start_if_the_source_had_none():
    target = network(THERE, extra=2)
    before = target.state_dict()[STEMS[UNet]].clone()
    pretrained = given(THERE)

    pretrained.load_into(target)

    stem = target.state_dict()[STEMS[UNet]]
    torch.testing.assert_close(stem[:, :2], pretrained.tensors[STEMS[UNet]])
    torch.testing.assert_close(stem[:, 2:], before[:, 2:])


def test_inputs_from_an_earlier_stage_are_taken_if_there_are_equally_many():
    here = Interface(channels=("T2",), outputs=THERE.outputs)
    target = network(here, extra=2)
    pretrained = given(here, extra=2)
    source = pretrained.tensors[STEMS[UNet]]

    pretrained.load_into(target)

    torch.testing.assert_close(target.state_dict()[STEMS[UNet]], source[:, 1:])


def test_classes_are_matched_by_name_and_new_ones_keep_their_start():
    here = Interface(channels=THERE.channels, outputs=("background", "kidney", "Liver", "vessel"))
    target = network(here)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    pretrained = given(here)

    pretraining = pretrained.load_into(target)

    for name in ("heads.0.weight", "heads.0.bias"):
        found, source = target.state_dict()[name], pretrained.tensors[name]
        torch.testing.assert_close(found[[0, 2]], source[[0, 1]])
        torch.testing.assert_close(found[[1, 3]], before[name][[1, 3]])
        assert name in pretraining.adapted.names


def test_a_head_that_shares_no_name_keeps_its_start():
    here = Interface(channels=THERE.channels, outputs=("whole tumour", "core", "edema"))
    target = network(here)
    before = target.state_dict()["heads.0.weight"].clone()

    pretraining = given(here).load_into(target)

    torch.testing.assert_close(target.state_dict()["heads.0.weight"], before)
    assert "heads.0.weight" in pretraining.fresh.names
    assert "heads.0.weight" in pretraining.unused.names


def test_stages_of_other_widths_keep_their_start_and_are_named():
    target = network(THERE, features=(4, 6, 8))

    pretraining = given(THERE).load_into(target)

    assert "encoder.1.0.weight" in pretraining.taken.names
    assert "encoder.2.0.weight" in pretraining.fresh.names
    assert "encoder.2.0.weight" in pretraining.unused.names
    parts = (pretraining.taken, pretraining.adapted, pretraining.fresh)
    own = target.state_dict()
    assert sum(part.weights for part in parts) == sum(tensor.numel() for tensor in own.values())


def test_a_model_of_which_nothing_fits_is_refused():
    tensors = {"encoder.0.0.weight": torch.zeros(7, 2, 3, 3, 3)}
    pretrained = Pretrained(model="Other, 3d, fold 1", tensors=tensors, there=THERE, here=THERE)

    with pytest.raises(TrainingError, match="no weight of Other, 3d, fold 1 fits"):
        pretrained.load_into(network(THERE))


def test_the_hash_is_that_of_the_weights():
    assert given(THERE).sha256 == given(THERE).sha256
    changed = {**given(THERE).tensors, "heads.0.bias": torch.ones(3)}
    other = Pretrained(model="Abdomen, 3d, fold 0", tensors=changed, there=THERE, here=THERE)
    assert other.sha256 != given(THERE).sha256


@pytest.mark.parametrize(("recipe", "share"), [(Recipe(), 0.1), (SHORT_RECIPE, 1 / 3)])
def test_fine_tuning_lowers_the_learning_rate_and_warms_up(recipe, share):
    tuned = fine_tuning(recipe)

    assert tuned.optimizer.learning_rate == pytest.approx(recipe.optimizer.learning_rate * share)
    assert tuned.schedule == recipe.schedule.model_copy(update={"warm_up": 0.05})
    assert tuned.augmentations == recipe.augmentations
