import numpy as np
import pytest
import torch
from copies import META, Copies

from autoseg.architectures import NetworkOutput
from autoseg.core.labels import LabelScheme, Region
from autoseg.losses import LOSSES
from autoseg.losses.boundary import Boundary
from autoseg.losses.cross_entropy import CrossEntropy
from autoseg.losses.hausdorff_dt import HausdorffDistance
from autoseg.training.deep_supervision import supervised_loss
from autoseg.training.distance_maps import DistanceMapper, distance_mapper_for
from autoseg.training.targets import targets_of

PLAIN = LabelScheme(names=("background", "a", "b"), values=(0, 1, 2))
SPARSE = PLAIN.model_copy(update={"ignore": 9})
REGIONS = PLAIN.model_copy(
    update={
        "regions": (
            Region(name="whole", values=(1, 2), written_as=1),
            Region(name="core", values=(2,), written_as=2),
        )
    }
)
SPACING = (2.0, 0.5)
RANDOM = torch.Generator().manual_seed(0)
CLASSES = torch.randint(0, 3, (2, 8, 8), generator=RANDOM)
HIDDEN = torch.rand(2, 8, 8, generator=RANDOM) < 0.3
CPU = torch.device("cpu")


def test_losses_without_distances_are_measured_nothing() -> None:
    assert distance_mapper_for(CrossEntropy(), PLAIN, SPACING) is None
    assert distance_mapper_for(Boundary(), PLAIN, SPACING) == DistanceMapper(
        Boundary(), PLAIN, SPACING
    )


@pytest.mark.parametrize("scheme", [PLAIN, SPARSE, REGIONS], ids=["classes", "ignored", "regions"])
@pytest.mark.parametrize("kind", ["boundary", "hausdorff_dt", "shape_aware", "border_weighted_ce"])
def test_the_objective_is_the_loss_with_distances_measured_before(
    kind: str, scheme: LabelScheme
) -> None:
    loss = LOSSES[kind]()
    classes = CLASSES.masked_fill(HIDDEN, 3) if scheme is SPARSE else CLASSES
    mapper = DistanceMapper(loss, scheme, SPACING)
    maps = np.stack([mapper.maps(patch) for patch in classes.numpy()])
    logits = torch.randn(2, scheme.num_outputs, 8, 8, generator=RANDOM)
    found = mapper.objective(loss, maps, CPU)(logits, classes)
    expected = loss(logits, *targets_of(classes, scheme), spacing=SPACING)
    assert torch.allclose(found, expected)


def test_at_lower_resolutions_voxels_are_larger_and_maps_shrunk() -> None:
    class Seen(HausdorffDistance):
        def value(self, logits, labels, valid, measured):
            seen.append((measured.spacing, tuple(measured.maps.shape)))
            return super().value(logits, labels, valid, measured)

    seen: list = []
    mapper = DistanceMapper(Seen(), PLAIN, SPACING)
    maps = np.stack([mapper.maps(patch) for patch in CLASSES.numpy()])
    output = NetworkOutput(torch.randn(2, 3, 8, 8), (torch.randn(2, 3, 4, 2),))
    value = supervised_loss(mapper.objective(Seen(), maps, CPU), output, CLASSES)
    assert torch.isfinite(value)
    assert seen == [((2.0, 0.5), (2, 2, 8, 8)), ((4.0, 2.0), (2, 2, 4, 2))]


def test_maps_are_sent_in_a_way_that_leaves_no_freed_memory_to_be_read() -> None:
    mapper = DistanceMapper(Boundary(), PLAIN, SPACING)
    maps = np.stack([mapper.maps(patch) for patch in CLASSES.numpy()])
    with Copies() as copies:
        mapper.objective(Boundary(), maps, META)
    assert copies.unsent == 0
