"""The default recipes, as their sources have them."""

import pytest

from autoseg.documents.recipe import REFERENCE_AUGMENTATIONS, SHORT_RECIPE, Recipe
from autoseg.schedules.polynomial import Polynomial


def test_the_reference_recipe_is_that_of_its_source() -> None:
    found = [
        (entry.kind, round(entry.chance(), 3), getattr(entry, "inverted", None))
        for entry in REFERENCE_AUGMENTATIONS
    ]
    assert found == [
        ("spatial", 0.36, None),
        ("gaussian_noise", 0.1, None),
        ("gaussian_blur", 0.2, None),
        ("brightness", 0.15, None),
        ("contrast", 0.15, None),
        ("low_resolution", 0.25, None),
        ("gamma", 0.1, True),
        ("gamma", 0.3, False),
        ("mirroring", 1.0, None),
    ]
    spatial, noise, blur, brightness, contrast, low, *gammas, _ = REFERENCE_AUGMENTATIONS
    assert (spatial.rotation_probability, spatial.scaling_probability) == (0.2, 0.2)
    assert spatial.scaling == (0.7, 1.4)
    assert noise.deviation == (0.0, 0.1)
    assert (blur.sigma, blur.channel_probability) == ((0.5, 1.0), 0.5)
    assert brightness.factor == contrast.factor == (0.75, 1.25)
    assert (low.scale, low.channel_probability) == ((0.5, 1.0), 0.5)
    assert {entry.gamma for entry in gammas} == {(0.7, 1.5)}
    recipe = Recipe()
    optimizer = recipe.optimizer
    assert (optimizer.kind, optimizer.learning_rate) == ("sgd", 0.01)
    assert (optimizer.momentum, optimizer.weight_decay) == (0.99, 3e-5)
    assert recipe.schedule == Polynomial(exponent=0.9, warm_up=0.0)
    assert recipe.gradient_clip == 12.0
    assert (recipe.foreground_fraction, recipe.iterations_per_epoch) == (0.33, 250)
    assert SHORT_RECIPE.optimizer.kind == "adamw"
    assert SHORT_RECIPE.schedule == Polynomial(exponent=0.9, warm_up=0.02)
    assert SHORT_RECIPE.head_prior


@pytest.mark.parametrize("power", [0.0, 0.5])
def test_the_choice_of_rare_classes_is_written_unless_it_is_off(power) -> None:
    recipe = Recipe(rare_class_power=power)
    written = recipe.model_dump(mode="json")
    assert ("rare_class_power" in written) == (power > 0)
    assert Recipe.model_validate(written) == recipe
