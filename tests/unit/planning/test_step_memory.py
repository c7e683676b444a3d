"""The predicted memory of a training step, against all tensors that there are while it runs."""

import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from autoseg.architectures import ARCHITECTURES
from autoseg.core.device import autocast_dtype
from autoseg.core.labels import LabelScheme
from autoseg.documents.recipe import SHORT_RECIPE, Recipe
from autoseg.losses.dice_ce import DiceCrossEntropy
from autoseg.planning.compact import narrowed
from autoseg.planning.step_memory import (
    BYTES_PER_GIB,
    predicted_memory,
    step_memory_gib,
    weight_count,
)
from autoseg.planning.topology import topology_for
from autoseg.training.state import initial_state
from autoseg.training.step import training_step
from autoseg.training.targets import objective


class TensorBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that torch makes, and remembers the most there were."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self._sizes = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage):
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._remove, key)

    def _remove(self, key):
        self.now -= self._sizes.pop(key)


def network(kind, patch, features, num_classes):
    topology = topology_for((1.0,) * len(patch), tuple(map(float, patch)))
    full = ARCHITECTURES[kind].for_topology(topology, in_channels=1, num_classes=num_classes)
    return narrowed(full, features)


def measured_gib(architecture, batch, recipe) -> float:
    patch, classes = architecture.topology.patch_shape, architecture.num_classes
    labels = LabelScheme(names=tuple(map(str, range(classes))), values=tuple(range(classes)))
    with TensorBytes() as counted:
        device, dtype = torch.device("cpu"), torch.bfloat16
        state = initial_state(
            architecture, recipe, device=device, dtype=dtype, seed=0, epoch_steps=1
        )
        images = torch.zeros(batch, 1, *patch)
        tensors = (images, torch.zeros(batch, *patch, dtype=torch.int64))
        loss = objective(DiceCrossEntropy(), labels)
        for _ in range(2):  # the optimiser's values come with the first step
            training_step(state, tensors, loss, rate=1e-3, gradient_clip=12.0, dtype=dtype)
    return counted.most / BYTES_PER_GIB


CASES = {
    "volumes": ("unet", (32, 32, 32), 16, 2, 2, SHORT_RECIPE),
    "volumes with many classes": ("unet", (32, 32, 32), 16, 16, 2, SHORT_RECIPE),
    "planes, mostly weights": ("unet", (64, 64), 16, 3, 2, SHORT_RECIPE),
    "planes by gradient descent": ("unet", (128, 128), 16, 2, 4, Recipe()),
    "another network": ("attention_unet", (32, 32, 32), 16, 2, 2, SHORT_RECIPE),
    "residual volumes": ("residual_encoder_unet", (32, 48, 32), 16, 3, 2, Recipe()),
    "residual planes": ("residual_encoder_unet", (96, 96), 16, 3, 4, SHORT_RECIPE),
}


@pytest.mark.parametrize("case", CASES)
def test_memory_is_predicted_within_a_tenth(case):
    kind, patch, features, num_classes, batch, recipe = CASES[case]
    if len(patch) == 3 and autocast_dtype(torch.device("cpu")) != torch.bfloat16:
        pytest.skip("this CPU emulates bfloat16, in which a step of volumes takes a minute")
    architecture = network(kind, patch, features, num_classes)
    predicted = step_memory_gib(architecture, batch, recipe)
    assert predicted == pytest.approx(measured_gib(architecture, batch, recipe), rel=0.1)


def test_weights_are_counted_without_making_them_or_touching_random_numbers():
    architecture = network("unet", (32, 32, 32), 8, 2)
    before = torch.get_rng_state()
    count = weight_count(architecture)
    assert torch.equal(torch.get_rng_state(), before)
    assert count == sum(parameter.numel() for parameter in architecture.build().parameters())


def test_an_optimiser_with_two_moments_and_an_average_of_weights_take_more():
    architecture = network("unet", (16, 16), 32, 2)
    recipes = (Recipe(), SHORT_RECIPE, SHORT_RECIPE.model_copy(update={"average_decay": 0.99}))
    plain, adam, averaged = (step_memory_gib(architecture, 2, recipe) for recipe in recipes)
    each = 4 * weight_count(architecture) / BYTES_PER_GIB
    assert adam - plain == pytest.approx(each)
    assert averaged - adam == pytest.approx(each)


def test_the_reason_names_activations_and_weights():
    choice = predicted_memory(network("unet", (64, 64), 32, 2), 2, Recipe())
    assert "million activations at" in choice.reason
    assert "million weights at 10 or more" in choice.reason
