"""Metrics: one file each. To add one, add a file to this folder; no other change is needed."""

from autoseg.evaluation.metrics.base import METRICS, Metric

METRICS.discover(__name__)

ALL_METRICS = tuple(sorted(METRICS, key=lambda name: METRICS[name].sort_key()))
"""Names of all metrics in the order in which they are shown."""

LABEL_MAP_METRICS = tuple(name for name in ALL_METRICS if not METRICS[name].needs_probabilities)
"""Metrics that can be computed from label maps alone."""

DEFAULT_METRICS = tuple(name for name in LABEL_MAP_METRICS if METRICS[name].cost != "expensive")
"""Metrics that are computed by default."""

TABLE_METRICS = tuple(name for name in DEFAULT_METRICS if METRICS[name].in_table)
"""Metrics that tables show by default."""

MODEL_CARD_METRICS = tuple(name for name in ALL_METRICS if METRICS[name].in_model_card)
"""Metrics that model cards show."""

__all__ = [
    "ALL_METRICS",
    "DEFAULT_METRICS",
    "LABEL_MAP_METRICS",
    "METRICS",
    "MODEL_CARD_METRICS",
    "TABLE_METRICS",
    "Metric",
]
