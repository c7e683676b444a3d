"""Which tests need packages that autoseg itself does not."""

from importlib.util import find_spec

import pytest

from autoseg.architectures import ARCHITECTURES

NEED_TIMM = pytest.mark.skipif(
    find_spec("timm") is None, reason="timm is not installed: the extra `timm`"
)


def network_kinds(*without):
    """Return all kinds of networks but some, as parameters; skipped where a package is absent."""
    return [
        pytest.param(kind, marks=[NEED_TIMM] if kind == "encoder_unet" else [])
        for kind in sorted(set(ARCHITECTURES) - set(without))
    ]
