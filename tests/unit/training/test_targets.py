import numpy as np
import pytest
import torch
from copies import META, Copies

from autoseg.core.labels import LabelScheme, Region
from autoseg.losses.cross_entropy import CrossEntropy
from autoseg.losses.dice_ce import DiceCrossEntropy
from autoseg.training import targets
from autoseg.training.step import pseudo_dice
from autoseg.training.targets import head_biases, objective, target_counts, targets_of

PLAIN = LabelScheme(names=("background", "a", "b", "c"), values=(0, 4, 2, 7))
REGIONS = (
    Region(name="whole", values=(2, 4, 7), written_as=4),
    Region(name="core", values=(7, 4), written_as=7),
)
REGIONAL = PLAIN.model_copy(update={"regions": REGIONS})
SPARSE = PLAIN.model_copy(update={"ignore": 9})
BOTH = REGIONAL.model_copy(update={"ignore": 9})

CLASSES = torch.randint(0, 4, (2, 5, 6), generator=torch.Generator().manual_seed(0))
HIDDEN = torch.rand(CLASSES.shape, generator=torch.Generator().manual_seed(1)) < 0.3
PARTLY = CLASSES.masked_fill(HIDDEN, 4)


def scores(channels: int) -> torch.Tensor:
    return torch.randn(2, channels, 5, 6, generator=torch.Generator().manual_seed(2))


def test_plain_classes_go_to_the_loss_itself() -> None:
    loss = DiceCrossEntropy()
    assert objective(loss, PLAIN) is loss
    labels, valid = targets_of(CLASSES, PLAIN)
    assert labels is CLASSES
    assert valid is None


@pytest.mark.parametrize("scheme", [REGIONAL, BOTH], ids=["dense", "sparse"])
def test_a_voxel_is_in_every_region_that_has_its_class(scheme: LabelScheme) -> None:
    regions, _ = targets_of(PARTLY if scheme.ignore else CLASSES, scheme)
    seen = ~HIDDEN if scheme.ignore else torch.ones_like(HIDDEN)
    assert regions.dtype == torch.bool
    assert torch.equal(regions[:, 0], (CLASSES > 0) & seen)
    assert torch.equal(regions[:, 1], ((CLASSES == 1) | (CLASSES == 3)) & seen)


def test_ignored_voxels_do_not_count_and_stay_in_the_range_of_classes() -> None:
    labels, valid = targets_of(PARTLY, SPARSE)
    assert torch.equal(valid, ~HIDDEN)
    assert torch.equal(labels[valid], CLASSES[valid])
    assert labels.max() < 4


@pytest.mark.parametrize("scheme", [SPARSE, BOTH], ids=["classes", "regions"])
def test_the_objective_is_that_of_the_annotated_voxels(scheme: LabelScheme) -> None:
    loss = objective(DiceCrossEntropy(), scheme)
    logits = scores(scheme.num_outputs)
    moved = torch.where(HIDDEN[:, None], -2 * logits, logits)
    assert float(loss(moved, PARTLY)) == pytest.approx(float(loss(logits, PARTLY)), rel=1e-6)
    seen = torch.where(HIDDEN[:, None], logits, -2 * logits)
    assert float(loss(seen, PARTLY)) != pytest.approx(float(loss(logits, PARTLY)), rel=1e-2)


@pytest.mark.parametrize("scheme", [PLAIN, REGIONAL, SPARSE, BOTH])
def test_counts_are_those_of_the_masks_of_each_target(scheme: LabelScheme) -> None:
    logits = scores(scheme.num_outputs)
    classes = PARTLY if scheme.ignore else CLASSES
    seen = (~HIDDEN if scheme.ignore else torch.ones_like(HIDDEN)).numpy()
    expected = []
    for index, members in enumerate(scheme.target_classes):
        true = np.isin(CLASSES.numpy(), members) & seen
        found = logits[:, index] > 0 if scheme.regions else logits.argmax(dim=1) == index + 1
        predicted = found.numpy() & seen
        expected.append([(true & predicted).sum(), predicted.sum(), true.sum()])
    counts = target_counts(logits, classes, scheme)
    assert counts.T.tolist() == expected
    assert not counts.is_floating_point()
    dice = [2 * both / (predicted + true) for both, predicted, true in expected]
    assert pseudo_dice(counts) == pytest.approx(dice)


def test_untrained_heads_predict_the_share_of_every_region() -> None:
    biases = torch.tensor(head_biases((0.7, 0.1, 0.15, 0.05), REGIONAL))
    assert biases.sigmoid().tolist() == pytest.approx([0.3, 0.15])
    plain = torch.tensor(head_biases((0.7, 0.1, 0.15, 0.05), PLAIN))
    assert plain.softmax(dim=0).tolist() == pytest.approx([0.7, 0.1, 0.15, 0.05])


def test_a_region_that_is_nowhere_or_everywhere_has_finite_biases() -> None:
    assert np.isfinite(head_biases((1.0, 0.0, 0.0, 0.0), REGIONAL)).all()
    assert np.isfinite(head_biases((0.0, 1.0, 0.0, 0.0), REGIONAL)).all()


def test_the_regions_of_classes_are_sent_once_for_all_resolutions(monkeypatch) -> None:
    to_device, given = targets.to_device, []
    monkeypatch.setattr(
        targets, "to_device", lambda array, device: given.append(array) or to_device(array, device)
    )
    loss = objective(CrossEntropy(), BOTH)
    logits, classes = scores(2).to(META), PARTLY.to(META)
    with Copies() as copies:
        for _ in range(3):
            loss(logits, classes)
    assert copies.unsent == 0
    assert len(given) == 1
