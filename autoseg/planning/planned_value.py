"""Return type of planning rules: a value with its reason."""

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from autoseg.documents.plan import Decision

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

NNUNET = "nnU-Net 2.8.1; Isensee et al., Nature Methods 18 (2021)"
"""Source of rules that follow the reference method."""

OWN = "autoseg's own rule"
"""Source of rules that the reference method does not have."""


@dataclass(frozen=True)
class PlannedValue(Generic[T_co]):
    """A planned value with its reason.

    Attributes:
        value: The chosen value.
        rule: Name of the function that chose it.
        reason: One sentence, with the numbers that the choice depended on.
        source: Paper or method that the rule is taken from.
    """

    value: T_co
    rule: str
    reason: str
    source: str = NNUNET

    def with_value(self, value: T) -> "PlannedValue[T]":
        """Return another value that follows from the same rule for the same reason."""
        return PlannedValue(value, self.rule, self.reason, self.source)

    def extended(self, text: str) -> "PlannedValue[T_co]":
        """Return the same value with an addition to its reason."""
        return replace(self, reason=f"{self.reason}{text}")

    def decision(self, field: str, value: str) -> Decision:
        """Return the decision to record in the plan; `value` is the value as text."""
        return Decision(
            field=field, value=value, rule=self.rule, reason=self.reason, source=self.source
        )


PlannedValues = dict[str, PlannedValue[Any]]
"""Planned values of a configuration, by field."""
