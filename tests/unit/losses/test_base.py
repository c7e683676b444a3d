import subprocess
import sys

import pytest
import torch

from autoseg.losses.base import foreground, is_regional, log_probabilities, masked_mean, membership

LOGITS = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
CLASSES = torch.randint(0, 3, (2, 4, 4), generator=torch.Generator().manual_seed(1))
REGIONS = LOGITS > 0.5
VALUES = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
VALID = torch.tensor([[[True, False], [False, True]]])


def test_masks_are_regions_and_indices_are_classes() -> None:
    assert is_regional(LOGITS, REGIONS)
    assert not is_regional(LOGITS, CLASSES)


def test_the_scores_of_a_voxel_sum_to_one_over_classes_but_not_over_regions() -> None:
    classes = log_probabilities(LOGITS, CLASSES).exp().sum(dim=1)
    assert torch.allclose(classes, torch.ones_like(classes))
    assert torch.allclose(log_probabilities(LOGITS, REGIONS).exp(), LOGITS.sigmoid())


def test_every_voxel_is_a_member_of_one_class_and_of_its_regions() -> None:
    members = membership(LOGITS, CLASSES)
    assert torch.equal(members.sum(dim=1), torch.ones_like(CLASSES))
    assert torch.equal(members.long().argmax(dim=1), CLASSES)
    assert membership(LOGITS, REGIONS) is REGIONS


def test_the_first_class_is_background_and_the_first_region_is_not() -> None:
    assert foreground(LOGITS, CLASSES).shape[1] == 2
    assert foreground(LOGITS, REGIONS).shape[1] == 3


def test_the_mean_leaves_voxels_out_and_weighs_the_others() -> None:
    assert float(masked_mean(VALUES, None)) == 2.5
    assert float(masked_mean(VALUES, VALID)) == 2.5
    assert float(masked_mean(VALUES, VALID, VALUES)) == pytest.approx((1 + 16) / 5)
    assert float(masked_mean(VALUES, None, VALUES)) == pytest.approx(30 / 10)
    assert float(masked_mean(VALUES, torch.zeros_like(VALID))) == 0.0


def test_the_package_is_reached_without_an_import_of_its_own() -> None:
    program = "import autoseg; print(autoseg.losses.build('cross_entropy'))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "cross_entropy" in done.stdout, done.stderr
