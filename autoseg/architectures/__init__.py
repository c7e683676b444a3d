"""Architectures: one file each. To add one, add a file here; nothing else changes."""

from autoseg.architectures.base import (
    ARCHITECTURES,
    AnyArchitecture,
    Architecture,
    NetworkOutput,
    Topology,
)

ARCHITECTURES.discover(__name__)

__all__ = ["ARCHITECTURES", "AnyArchitecture", "Architecture", "NetworkOutput", "Topology"]
