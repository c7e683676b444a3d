import pytest
import torch

from autoseg.architectures import Topology
from autoseg.architectures.attention_unet import AttentionGate, AttentionUNet, resize_like

ANISOTROPIC = Topology(
    patch_shape=(4, 16, 16),
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2)),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
)


def network_of(topology, **changes):
    config = AttentionUNet.for_topology(topology, in_channels=1, num_classes=2)
    narrow = {"features": tuple(range(3, 3 + len(topology.strides)))}
    return config.model_copy(update={**narrow, **changes})


def count(config):
    with torch.device("meta"):
        return sum(weights.numel() for weights in config.build().parameters())


def test_the_gate_free_network_has_its_known_number_of_weights():
    assert count(AttentionUNet.published(is_gated=False)) == 5_888_004


def test_gates_add_the_weights_of_their_four_convolutions():
    # Per gate, F and G the features of the skip connection and of the stage below: 8 F² for the
    # strided one, G F + F, F + 1, and F² + F with 2 F of batch normalisation; once, what the
    # lowest stage's maps go through: 256² + 256 with 512.
    added = 256**2 + 3 * 256
    for width in (32, 64, 128):
        added += 8 * width**2 + (2 * width**2 + width) + (width + 1) + (width**2 + 3 * width)
    assert count(AttentionUNet.published()) - 5_888_004 == added


def test_gates_are_on_all_skip_connections_but_the_finest():
    assert AttentionUNet.published().gated_stages == (1, 2, 3)
    assert AttentionUNet.published(is_gated=False).gated_stages == ()


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_coefficients_lie_between_0_and_1(scale):
    gate = AttentionGate((4, 6), stride=(1, 2, 2), normalization="instance")
    skip, signal = scale * torch.randn(2, 4, 3, 8, 8), scale * torch.randn(2, 6, 3, 4, 4)
    coefficients = gate.coefficients(skip, signal)
    assert coefficients.shape == (2, 1, 3, 8, 8)
    assert (coefficients >= 0).all()
    assert (coefficients <= 1).all()
    assert coefficients.std() > 0


def test_the_gate_is_additive():
    gate = AttentionGate((4, 6), stride=(1, 1), normalization="none")
    skip, signal = torch.randn(1, 4, 5, 5), torch.randn(1, 6, 5, 5)
    together = torch.relu(gate.skip(skip) + gate.signal(signal))
    expected = torch.sigmoid(gate.coefficient(together))
    assert torch.equal(gate.coefficients(skip, signal), expected)
    assert torch.equal(gate(skip, signal), gate.output(expected * skip))


def test_a_closed_gate_lets_nothing_through():
    gate = AttentionGate((4, 6), stride=(2, 2), normalization="none")
    torch.nn.init.constant_(gate.coefficient.bias, -1e4)
    torch.nn.init.zeros_(gate.output[0].bias)
    passed = gate(torch.randn(1, 4, 8, 8), torch.randn(1, 6, 4, 4))
    assert not passed.any()


def test_the_signal_is_what_the_coarser_stage_gives():
    network = network_of(ANISOTROPIC).build().eval()
    signals, decoded = {}, {}
    for name, gate in network.gates.gates.items():
        gate.register_forward_hook(
            lambda module, inputs, output, name=name: signals.update({name: inputs[1]})
        )
    for index, stage in enumerate(network.decoder):
        stage.register_forward_hook(
            lambda module, inputs, output, index=index: decoded.update({index: output})
        )
    network(torch.randn(1, 1, 4, 16, 16))
    assert set(signals) == {"1", "2"}
    assert signals["1"] is decoded[2]
    assert signals["2"].shape == (1, 6, 1, 2, 2)


def test_one_output_is_made_of_all_decoder_stages():
    network = network_of(ANISOTROPIC).build()
    assert len(network.scores) == 3
    assert network.heads[0].in_channels == 6
    output = network(torch.randn(1, 1, 4, 16, 16))
    assert output.auxiliary == ()
    assert output.logits.shape == (1, 2, 4, 16, 16)


@pytest.mark.parametrize("stages", [1, 2])
def test_few_stages_have_no_gate(stages):
    topology = Topology(
        patch_shape=(4, 4), strides=((1, 1), (2, 2))[:stages], kernels=((3, 3),) * stages
    )
    network = network_of(topology).build()
    assert network.gates is None
    assert network(torch.randn(1, 1, 4, 4)).logits.shape == (1, 2, 4, 4)


def test_maps_are_resized_linearly_or_left_alone():
    maps = torch.tensor([[[[0.0, 4.0]]]])
    assert resize_like(maps, maps) is maps
    wider = resize_like(maps, torch.zeros(1, 1, 1, 4))
    assert wider.flatten().tolist() == [0.0, 1.0, 3.0, 4.0]
