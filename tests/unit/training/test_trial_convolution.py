"""A convolution in a process of its own."""

from autoseg.core.child import run_module
from autoseg.core.instructions import UNLIMITED
from autoseg.training import trial_convolution
from autoseg.training.compared_convolutions import ComparedConvolutions
from autoseg.training.trial_convolution import (
    ConvolutionRequest,
    ConvolutionResult,
    run_convolution,
)

REQUEST = ConvolutionRequest(device="cpu", precision="float32")


def test_a_convolution_in_float32_is_correct_and_timed() -> None:
    ended = run_module(
        trial_convolution.__name__, REQUEST.model_dump_json(), instructions=UNLIMITED
    )
    result = ConvolutionResult.model_validate_json(ended.output)
    assert result.finding is None
    assert result.milliseconds > 0


def test_a_wrong_convolution_is_described(monkeypatch) -> None:
    class Wrong(ComparedConvolutions):
        def __exit__(self, *error):
            self.finding = "gave wrong values"
            return super().__exit__(*error)

    monkeypatch.setattr(trial_convolution, "ComparedConvolutions", Wrong)
    assert run_convolution(REQUEST).finding == "gave wrong values"
