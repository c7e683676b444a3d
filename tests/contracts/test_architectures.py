"""Every registered architecture keeps the contract; a new one is tested without a new test."""

import pytest
import torch
from extras import encoder_names, network_kinds
from pydantic import TypeAdapter
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from autoseg.architectures import ARCHITECTURES, AnyArchitecture, Topology
from autoseg.architectures.attention import DotProductAttention
from autoseg.architectures.layers import InstanceNorm
from autoseg.core.device import autocast, autocast_dtype, memory_layout, move_to_device
from autoseg.core.errors import PlanError
from autoseg.training.pretrained import Interface, Pretrained

FLAT = Topology(
    patch_shape=(16, 24),
    strides=((1, 1), (2, 2), (2, 2)),
    kernels=((3, 3), (3, 3), (3, 3)),
)
ANISOTROPIC = Topology(
    patch_shape=(6, 16, 16),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2)),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
)
KINDS = pytest.mark.parametrize("kind", network_kinds())
PLAIN_NETWORKS = [
    pytest.param(kind, topology, id=f"{axes}-{kind}")
    for kind in network_kinds()
    for axes, topology in (("two_axes", FLAT), ("three_axes", ANISOTROPIC))
    if topology.num_axes in ARCHITECTURES[kind].memory_references
]
NETWORKS = pytest.mark.parametrize(
    ("kind", "topology"),
    [
        *PLAIN_NETWORKS,
        *(pytest.param(f"encoder_unet {name}", FLAT, id=name) for name in encoder_names()),
    ],
)
COUNTED_BY_WHAT_IS_KEPT = ("encoder_unet",)
"""These count what training keeps, as outputs of the plain U-Net; others what layers put out."""


def make(kind, topology, *, in_channels=2, num_classes=3):
    kind, _, encoder = kind.partition(" ")
    config = (
        ARCHITECTURES[kind]
        .for_topology(topology, in_channels=in_channels, num_classes=num_classes)
        .compact()
    )
    return config.model_copy(update={"encoder": encoder}) if encoder else config


def images(config, batch=1):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, config.in_channels, *config.input_shape, generator=generator)


def patch_of(images, config):
    """Return what a network scores of its input: all but the margin."""
    for dim, margin in enumerate(config.output_margin(), start=2):
        images = images.narrow(dim, margin, images.shape[dim] - 2 * margin)
    return images


@NETWORKS
@pytest.mark.parametrize("batch", [1, 2])
def test_logits_have_the_shape_of_the_image(kind, topology, batch):
    config = make(kind, topology)
    output = config.build()(images(config, batch))
    assert output.logits.shape == (batch, 3, *topology.patch_shape)


@NETWORKS
def test_any_multiple_of_the_divisors_works(kind, topology):
    config = make(kind, topology)
    shape = tuple(2 * divisor for divisor in config.topology.divisors)
    margins = zip(shape, config.output_margin(), strict=True)
    network = config.build().eval()
    with torch.inference_mode():
        output = network(torch.randn(1, 2, *(size + 2 * margin for size, margin in margins)))
    assert output.logits.shape == (1, 3, *shape)


@NETWORKS
def test_auxiliary_scores_come_finest_first_and_only_in_training(kind, topology):
    config = make(kind, topology)
    network = config.build()
    trained = network(images(config)).auxiliary
    sizes = [scores[0, 0].numel() for scores in trained]
    assert sizes == sorted(sizes, reverse=True)
    assert all(scores.shape[1] == 3 for scores in trained)
    assert network.eval()(images(config)).auxiliary == ()


@NETWORKS
def test_gradients_reach_every_parameter(kind, topology):
    config = make(kind, topology)
    network = config.build()
    output = network(images(config))
    sum(scores.square().mean() for scores in (output.logits, *output.auxiliary)).backward()
    unreached = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all()
    ]
    assert unreached == []


@NETWORKS
def test_a_bfloat16_step_stays_finite_and_lowers_the_loss(kind, topology):
    torch.manual_seed(0)
    config = make(kind, topology)
    network = config.build()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    labels = (patch_of(images(config), config)[:, 0] > 0).long()
    losses = []
    for _ in range(3):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(images(config)).logits
        loss = nn.functional.cross_entropy(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    assert losses[-1] < losses[0]


@NETWORKS
def test_channels_stay_last_in_memory_from_layer_to_layer(kind, topology):
    config = make(kind, topology)
    network = move_to_device(config.build(), torch.device("cpu"))
    layout = memory_layout(torch.device("cpu"), topology.num_axes)
    seen, changed = [], []

    def note(module, inputs, output):
        seen.append(module)
        if not output.is_contiguous(memory_format=layout):
            changed.append(module)

    for module in network.modules():
        if isinstance(module, nn.modules.conv._ConvNd | InstanceNorm | nn.GroupNorm):
            module.register_forward_hook(note)
    device = torch.device("cpu")
    # without bfloat16 in hardware, torch's own convolutions put channels first
    with autocast(device, autocast_dtype(device)):
        network(images(config, 2).to(memory_format=layout))
    assert seen
    assert changed == []


PLANNED = {
    "square": ((96, 96), [(2, 2)] * 4),
    "oblong": ((48, 160), [(2, 2), (2, 2), (1, 2)]),
    "one_stage": ((24, 16), []),
    "cube": ((32, 40, 32), [(2, 2, 2)] * 3),
    "thick_slices": ((8, 64, 48), [(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]),
}
"""Patches, and the strides from stage to stage."""


def planned(name):
    """Return a topology whose kernels are flat until an axis of thick slices is halved."""
    patch, strides = PLANNED[name]
    kernels, axes = [(3,) * len(patch)], range(len(patch))
    for stride in reversed(strides):
        kernels.append(tuple(kernels[-1][axis] if stride[axis] > 1 else 1 for axis in axes))
    first = (1,) * len(patch)
    return Topology(patch_shape=patch, strides=(first, *strides), kernels=tuple(kernels[::-1]))


@KINDS
@pytest.mark.parametrize("name", PLANNED)
def test_counts_are_those_of_a_forward_pass_of_the_whole_network(kind, name):
    topology = planned(name)
    if topology.num_axes not in ARCHITECTURES[kind].memory_references:
        return
    config = ARCHITECTURES[kind].for_topology(topology, in_channels=3, num_classes=4)
    found = config.activation_count(), config.multiplication_count()
    with FakeTensorMode():  # nothing is computed
        activations, multiplications = counted(config)
    assert found[1] == multiplications
    if kind not in COUNTED_BY_WHAT_IS_KEPT:
        assert found[0] == activations


@NETWORKS
def test_counts_equal_what_the_layers_do(kind, topology):
    config = make(kind, topology)
    activations, multiplications = counted(config)
    assert config.multiplication_count() == multiplications
    if config.kind not in COUNTED_BY_WHAT_IS_KEPT:
        assert config.activation_count() == activations


def counted(config):
    """Return the values that layers put out in a forward pass, and the multiplications."""
    network = config.build().eval()
    activations = multiplications = 0

    def count(module, inputs, output):
        nonlocal activations, multiplications
        activations += output.numel()
        if isinstance(module, DotProductAttention):
            queries, keys, _ = inputs
            multiplications += 2 * queries.numel() * keys.shape[-2]
        elif isinstance(module, nn.Linear):
            multiplications += module.in_features * output.numel()
        else:
            # A transposed convolution uses each weight once per voxel that comes in, others per
            # voxel that goes out.
            is_transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
            voxels = (inputs[0] if is_transposed else output)[0, 0].numel()
            multiplications += module.weight.numel() * voxels

    for module in network.modules():
        if isinstance(module, nn.modules.conv._ConvNd | nn.Linear | DotProductAttention):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, config.in_channels, *config.input_shape))
    return activations, multiplications


@NETWORKS
def test_an_architecture_survives_json(kind, topology):
    config = make(kind, topology)
    parser = TypeAdapter(AnyArchitecture)
    assert parser.validate_json(config.model_dump_json()) == config


@NETWORKS
def test_the_same_seed_gives_the_same_weights(kind, topology):
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(make(kind, topology).build().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@NETWORKS
def test_the_heads_biases_are_where_scores_start(kind, topology):
    config = make(kind, topology)
    network = config.build().eval()
    with torch.inference_mode():
        for head in network.heads:
            head.weight.zero_()
            head.bias.copy_(torch.tensor([0.5, -1.0, 2.0]))
        logits = network(images(config)).logits
    assert (logits == torch.tensor([0.5, -1.0, 2.0]).view(1, 3, *(1,) * topology.num_axes)).all()


@pytest.mark.parametrize(("kind", "topology"), PLAIN_NETWORKS)
def test_the_compact_variant_is_cheaper_and_keeps_the_topology(kind, topology):
    full = ARCHITECTURES[kind].for_topology(topology, in_channels=1, num_classes=2)
    small = full.compact()
    assert small.topology == full.topology
    assert small.multiplication_count() < full.multiplication_count()


@KINDS
def test_memory_is_known_for_the_numbers_of_axes_that_a_network_works_on(kind):
    assert set(ARCHITECTURES[kind].memory_references) in ({2, 3}, {2})


@KINDS
def test_no_network_is_built_for_axes_whose_memory_is_unknown(kind):
    for topology in (FLAT, ANISOTROPIC):
        if topology.num_axes not in ARCHITECTURES[kind].memory_references:
            with pytest.raises(PlanError, match="2-D"):
                make(kind, topology)


def kept_values(config):
    """Return how many values a training step keeps per activation, for one patch.

    Each tensor that autograd saves counts once. Nothing is computed: tensors only pretend to be on
    a device, which unlike torch's "meta" has attention that keeps no matrix of all pairs.
    """
    counted, sizes = config.activation_count(), {}

    def note(tensor):
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = (storage, storage.nbytes() // tensor.element_size())
        return tensor

    with FakeTensorMode():
        network = config.build()
        image = torch.zeros(1, config.in_channels, *config.input_shape)
        for parameter in network.parameters():
            note(parameter)
        weights = set(sizes)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            network(image)
    kept = sum(size for key, (_, size) in sizes.items() if key not in weights)
    return kept / counted


@pytest.mark.parametrize("kind", network_kinds("unet", "residual_encoder_unet"))
@pytest.mark.parametrize("patch", [(512, 512), (128, 128, 128)], ids=["two_axes", "three_axes"])
def test_memory_is_predicted_as_that_of_the_plain_u_net_by_what_training_keeps(kind, patch):
    """The two exceptions have references that others measured on GPUs."""
    axes, stages = len(patch), 5
    if axes not in ARCHITECTURES[kind].memory_references:
        return
    topology = Topology(
        patch_shape=patch,
        strides=((1,) * axes, *((2,) * axes,) * (stages - 1)),
        kernels=((3,) * axes,) * stages,
    )
    config, plain = (
        ARCHITECTURES[name].for_topology(topology, in_channels=1, num_classes=3)
        for name in (kind, "unet")
    )
    (reference,), (known,) = (entry.memory_references[axes] for entry in (config, plain))
    assert (reference.memory_gib, reference.batch_size) == (known.memory_gib, known.batch_size)
    expected = known.activations * kept_values(plain) / kept_values(config)
    assert reference.activations == pytest.approx(expected, rel=0.1)


@NETWORKS
def test_pretrained_weights_follow_the_names_of_channels_and_classes(kind, topology) -> None:
    config = make(kind, topology)
    there = Interface(channels=("CT", "PET"), outputs=("background", "liver", "tumour"))
    here = Interface(channels=("PET", "CT"), outputs=("background", "tumour", "liver"))
    torch.manual_seed(0)
    source = config.build()
    torch.manual_seed(1)
    network = config.build().eval()
    Pretrained("a model", source.state_dict(), there, here).load_into(network)
    source.eval()

    given = images(config)
    with torch.no_grad():
        found = network(given.flip(1)).logits
        expected = source(given).logits

    torch.testing.assert_close(found, expected[:, [0, 2, 1]], rtol=1e-3, atol=1e-4)
