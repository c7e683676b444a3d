"""Backbones as encoders: one module each. To add one, add a module to this package."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from autoseg.architectures.encoders.base import Backbone


@cache
def backbones() -> Mapping[str, Backbone]:
    """Return all backbones of this package by name.

    Each module of the package lists its backbones in the constant `BACKBONES`.
    """
    modules = [import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__)]
    found: dict[str, Backbone] = {}
    for module in modules:
        found |= getattr(module, "BACKBONES", {})
    return MappingProxyType(found)
