from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.tracking.parameters import flat_parameters


def test_settings_have_dotted_names() -> None:
    parameters = flat_parameters(SHORT_RECIPE.model_dump(mode="json"), "recipe")
    assert parameters["recipe.optimizer.learning_rate"] == "0.001"
    assert parameters["recipe.head_prior"] == "true"
    assert parameters["recipe.optimizer.betas"] == "[0.9, 0.999]"


def test_components_of_a_list_are_named_by_kind_wherever_they_stand() -> None:
    first = {"kind": "gamma", "probability": 0.1}
    second, other = {"kind": "gamma", "probability": 0.3}, {"kind": "noise", "probability": 0.5}
    parameters = flat_parameters([other, first, second], "")
    assert parameters["gamma.probability"] == "0.1"
    assert parameters["gamma_2.probability"] == "0.3"
    assert flat_parameters([first, second, other], "") == parameters


def test_missing_values_and_lists_are_json() -> None:
    assert flat_parameters({"a": None, "b": [1, 2], "c": "text"}, "") == {
        "a": "null",
        "b": "[1, 2]",
        "c": "text",
    }
