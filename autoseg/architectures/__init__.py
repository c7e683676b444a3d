"""Architectures: one module each. To add one, add a module to this package."""

from autoseg.architectures.base import (
    ARCHITECTURES,
    AnyArchitecture,
    Architecture,
    NetworkOutput,
    Topology,
)

ARCHITECTURES.discover(__name__)

__all__ = ["ARCHITECTURES", "AnyArchitecture", "Architecture", "NetworkOutput", "Topology"]
