import pytest
import torch
from torch import nn

from autoseg.architectures import NetworkOutput
from autoseg.core.labels import LabelScheme
from autoseg.documents.recipe import Recipe
from autoseg.losses.dice_ce import DiceCrossEntropy
from autoseg.optimizers import OPTIMIZERS
from autoseg.optimizers.sgd import StochasticGradientDescent
from autoseg.training.loop import set_head_prior
from autoseg.training.position import Position
from autoseg.training.state import TrainingState
from autoseg.training.step import pseudo_dice, training_step, update_average, validation_scores
from autoseg.training.targets import head_biases

LOSS = DiceCrossEntropy()
LABELS = LabelScheme(names=("background", "bright"), values=(0, 1))


class OneConvolution(nn.Module):
    """The smallest network that has a head."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Conv2d(1, 2, 1)])

    def forward(self, images: torch.Tensor) -> NetworkOutput:
        return NetworkOutput(self.heads[0](images))


def state_of(recipe: Recipe, *, average: bool = False) -> TrainingState:
    torch.manual_seed(0)
    network = OneConvolution()
    copy = OneConvolution() if average else None
    if copy is not None:
        copy.load_state_dict(network.state_dict())
    return TrainingState(
        network=network,
        average=copy,
        optimizer=recipe.optimizer.build(tuple(network.parameters())),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        epoch_steps=1,
    )


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.linspace(-1, 1, 2 * 64).reshape(2, 1, 8, 8)
    return images, (images[:, 0] > 0.3).long()


@pytest.mark.parametrize("kind", list(OPTIMIZERS))
def test_a_first_step_that_overflows_leaves_no_trace(kind) -> None:
    """In float16, as steps do until the scaler has found its scale."""
    torch.manual_seed(0)
    network = OneConvolution()
    state = TrainingState(
        network=network,
        average=None,
        optimizer=OPTIMIZERS[kind]().build(tuple(network.parameters()), torch.float16),
        scaler=torch.amp.GradScaler("cpu"),
        epoch_steps=1,
    )
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images, labels = batch()
    unending = images * float("inf")
    junk = [torch.full((size,), 1e30) for size in (1, 2, 4, 8) for _ in range(200)]
    del junk  # what is not initialised holds it
    settings = {"rate": 0.05, "gradient_clip": 12.0, "dtype": torch.float16}
    training_step(state, (unending, labels), LOSS, **settings)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name])
    kept = [entry.get("momentum_buffer") for entry in state.optimizer.state.values()]
    assert all(momentum is None or not momentum.any() for momentum in kept)
    losses = [float(training_step(state, (images, labels), LOSS, **settings)) for _ in range(60)]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind", list(OPTIMIZERS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_steps_bring_the_loss_down(kind, dtype) -> None:
    state = state_of(Recipe(optimizer=OPTIMIZERS[kind]()))
    losses = [
        float(training_step(state, batch(), LOSS, rate=0.05, gradient_clip=12.0, dtype=dtype))
        for _ in range(60)
    ]
    assert losses[-1] < 0.7 * losses[0]


def test_a_rate_of_zero_changes_nothing() -> None:
    state = state_of(Recipe())
    before = {name: value.clone() for name, value in state.network.state_dict().items()}
    training_step(state, batch(), LOSS, rate=0.0, gradient_clip=12.0, dtype=torch.float32)
    assert all(torch.equal(before[name], v) for name, v in state.network.state_dict().items())


def test_the_average_follows_the_weights_slowly() -> None:
    state = state_of(Recipe(average_decay=0.9), average=True)
    state.position = Position(step=10_000, seconds=1.0)
    state.network.heads[0].bias.data += 1.0
    start = state.average.heads[0].bias.clone()
    update_average(state, 0.9)
    assert torch.allclose(state.average.heads[0].bias, start + 0.1)


def test_pseudo_dice_pools_all_patches() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[0, :2] = 1
    network = OneConvolution().eval()
    with torch.no_grad():  # predicts class 1 in the first row alone
        network.heads[0].weight[:] = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1)
        network.heads[0].bias[:] = 0
    images = -torch.ones(1, 1, 4, 4)
    images[0, 0, 0] = 1
    _, counts = validation_scores(network, (images, labels), LOSS, LABELS, torch.float32)
    assert pseudo_dice(counts) == pytest.approx((2 * 4 / (4 + 8),))
    assert pseudo_dice(counts + counts) == pytest.approx((2 * 4 / (4 + 8),))


def test_a_class_that_is_nowhere_has_no_pseudo_dice() -> None:
    assert pseudo_dice(torch.tensor([[9, 0], [9, 0], [9, 0]])) == (1.0, None)


def test_heads_start_at_the_class_frequencies() -> None:
    network = OneConvolution()
    set_head_prior(network, head_biases((0.9, 0.1), LABELS))
    scores = network(torch.zeros(1, 1, 2, 2)).logits.softmax(dim=1)
    assert scores[0, :, 0, 0].tolist() == pytest.approx([0.9, 0.1])


def test_voxels_are_counted_in_whole_numbers_which_every_device_has() -> None:
    network = state_of(Recipe()).network
    _, counts = validation_scores(network, batch(), LOSS, LABELS, torch.float32)
    assert not counts.is_floating_point()


@pytest.mark.parametrize("is_scaled", [False, True])
def test_no_step_is_longer_than_the_clipped_gradient_allows(is_scaled: bool) -> None:
    sgd = StochasticGradientDescent(momentum=0.5, weight_decay=0.0)
    state = state_of(Recipe(optimizer=sgd))
    state.scaler = torch.amp.GradScaler("cpu", enabled=is_scaled)
    before = torch.cat([weights.detach().flatten() for weights in state.network.parameters()])
    settings = {"rate": 1.0, "gradient_clip": 1e-3, "dtype": torch.float32}
    training_step(state, batch(), LOSS, **settings)
    after = torch.cat([weights.detach().flatten() for weights in state.network.parameters()])
    # Nesterov's first step is 1 + momentum times the gradient
    assert float((after - before).norm()) == pytest.approx(1.5e-3, rel=1e-2)


def test_the_average_soon_forgets_the_random_start() -> None:
    state = state_of(Recipe(average_decay=0.99), average=True)
    start = state.average.heads[0].bias.clone()
    state.network.heads[0].bias.data += 1.0
    state.position = Position(step=1, seconds=1.0)
    update_average(state, 0.99)
    assert torch.allclose(state.average.heads[0].bias, start + 9 / 11)


class Normalised(nn.Module):
    """Behaves differently while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1)

    def forward(self, images: torch.Tensor) -> NetworkOutput:
        return NetworkOutput(self.head(self.norm(images)))


def test_validation_neither_trains_nor_stops_training() -> None:
    network = Normalised()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    validation_scores(network, batch(), LOSS, LABELS, torch.float32)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert network.training
