"""Optimisers: one module each. To add one, add a module to this package."""

from autoseg.optimizers.base import OPTIMIZERS, AnyOptimizer, Optimizer

OPTIMIZERS.discover(__name__)

__all__ = ["OPTIMIZERS", "AnyOptimizer", "Optimizer"]
