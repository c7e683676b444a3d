import pytest
import torch
from pydantic import ValidationError

from autoseg.architectures import Topology
from autoseg.architectures.r2_unet import R2UNet, RecurrentConvolution, RecurrentResidualUnit

TOPOLOGY = Topology(
    patch_shape=(8, 8), strides=((1, 1), (2, 2), (2, 2)), kernels=((3, 3), (3, 3), (3, 3))
)
FEATURES = (4, 6, 8)


def r2(**changes):
    config = R2UNet.for_topology(TOPOLOGY, in_channels=1, num_classes=2)
    return R2UNet.model_validate({**config.model_dump(), "features": FEATURES, **changes})


def count(config):
    return sum(weights.numel() for weights in config.build().parameters())


def test_recurrence_adds_its_own_kernels_once_however_often_it_runs():
    # Each unit has two recurrent kernels of 3 × 3; three stages down, two up.
    recurrent = 2 * 9 * sum(width**2 for width in (4, 6, 8, 6, 4))
    plain = count(r2(recurrences=0))
    assert [count(r2(recurrences=t)) - plain for t in (1, 2, 3)] == [recurrent] * 3


def test_recurrence_costs_one_convolution_per_unit_and_time():
    costs = [r2(recurrences=t).multiplication_count() for t in (0, 1, 2, 3)]
    recurrent = 2 * 9 * (64 * (16 + 16) + 16 * (36 + 36) + 4 * 64)
    assert [cost - costs[0] for cost in costs] == [0, recurrent, 2 * recurrent, 3 * recurrent]


def test_output_and_input_have_kernels_of_their_own():
    layer = RecurrentConvolution((3, 5), kernel=(3, 3), recurrences=2)
    assert layer.feed_forward.weight.shape == (5, 3, 3, 3)
    assert layer.recurrent.weight.shape == (5, 5, 3, 3)


def test_a_recurrent_convolution_follows_its_equation():
    layer = RecurrentConvolution((3, 5), kernel=(3, 3), recurrences=2)
    maps = torch.randn(1, 3, 6, 6)
    drive = layer.feed_forward(maps)
    state = torch.relu(layer.norm(drive))
    for _ in range(2):
        state = torch.relu(layer.norm(drive + layer.recurrent(state)))
    assert torch.equal(layer(maps), state)


def test_each_recurrence_reaches_a_voxel_further_each_way():
    def reach(recurrences):
        layer = RecurrentConvolution((1, 4), kernel=(3, 3), recurrences=recurrences)
        layer.norm = layer.rectifier = torch.nn.Identity()
        image = torch.rand(1, 1, 21, 21, requires_grad=True)
        layer(image)[0, :, 10, 10].sum().backward()
        return int(torch.count_nonzero(image.grad[0, 0].abs().sum(dim=1)))

    torch.manual_seed(0)
    assert [reach(t) for t in (0, 1, 2)] == [3, 5, 7]


def test_a_unit_adds_what_came_in():
    unit = RecurrentResidualUnit((4, 4), kernel=(3, 3), recurrences=1)
    maps = torch.randn(1, 4, 6, 6)
    assert torch.equal(unit(maps), maps + unit.convolutions(maps))


def test_where_the_width_changes_the_first_kernel_still_sees_what_came_in():
    unit = RecurrentResidualUnit((1, 4), kernel=(3, 3), recurrences=1)
    assert unit.convolutions[0].feed_forward.in_channels == 1
    assert unit.skip.kernel_size == (1, 1)


def test_the_paper_recurs_twice_unless_told_otherwise():
    assert r2().recurrences == 2


def test_coarser_stages_give_scores_in_training():
    config = R2UNet.for_topology(
        Topology(patch_shape=(8, 8), strides=((1, 1), *((2, 2),) * 3), kernels=((3, 3),) * 4),
        in_channels=1,
        num_classes=2,
    ).model_copy(update={"features": (2, 2, 2, 2)})
    output = config.build()(torch.randn(1, 1, 8, 8))
    assert [scores.shape[2] for scores in (output.logits, *output.auxiliary)] == [8, 4]


def test_recurring_a_negative_number_of_times_is_refused():
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        r2(recurrences=-1)


def test_what_passes_around_the_units_does_not_grow():
    torch.manual_seed(0)
    topology = Topology(
        patch_shape=(64, 64), strides=((1, 1), *((2, 2),) * 5), kernels=((3, 3),) * 6
    )
    config = R2UNet.for_topology(topology, in_channels=1, num_classes=2).compact()
    network = config.build().eval()
    sizes = []
    for module in network.modules():
        if isinstance(module, RecurrentResidualUnit):
            module.register_forward_hook(lambda *entries: sizes.append(float(entries[2].std())))
    with torch.inference_mode():
        network(torch.randn(1, 1, 64, 64))
    assert len(sizes) == 11
    assert max(sizes) < 3 * min(sizes)
