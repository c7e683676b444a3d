"""Which tests need packages that autoseg itself does not."""

from importlib import import_module
from importlib.util import find_spec
from pkgutil import iter_modules

import pytest

from autoseg.architectures import ARCHITECTURES, encoders

NEED_TIMM = pytest.mark.skipif(
    find_spec("timm") is None, reason="timm is not installed: the extra `timm`"
)


def network_kinds(*without):
    """Return all kinds of networks but some."""
    return sorted(set(ARCHITECTURES) - set(without))


def encoder_names():
    """Return one encoder of each module: the first."""
    modules = (
        import_module(f"{encoders.__name__}.{found.name}")
        for found in iter_modules(encoders.__path__)
    )
    return [next(iter(module.BACKBONES)) for module in modules if hasattr(module, "BACKBONES")]
