"""Plans for one small configuration, made by hand."""

from collections.abc import Callable

import pytest

from autoseg.architectures import ARCHITECTURES, Topology
from autoseg.core.labels import LabelScheme
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.preparation import Resampling
from autoseg.losses import LOSSES
from autoseg.normalizers import NORMALIZERS

PlanMaker = Callable[..., Plan]


@pytest.fixture
def make_plan() -> PlanMaker:
    """Return a function that makes a plan with a single configuration, `only`."""

    def make(
        spacing=(1.0, 1.0, 1.0),
        *,
        num_axes=3,
        normalizers=("none",),
        axis_order=None,
        resampling=None,
        label_values=(0, 1, 2),
        regions=(),
        ignore=None,
        patch=8,
    ) -> Plan:
        topology = Topology(
            patch_shape=(patch,) * len(spacing),
            strides=((1,) * len(spacing),),
            kernels=((3,) * len(spacing),),
        )
        channels, classes = len(normalizers), len(label_values)
        configuration = Configuration(
            name="only",
            data_name="only",
            spacing=spacing,
            median_shape=(8.0,) * len(spacing),
            batch_size=2,
            normalizers=tuple(NORMALIZERS.parse(entry) for entry in normalizers),
            architecture=ARCHITECTURES["unet"].for_topology(
                topology, in_channels=channels, num_classes=len(regions) or classes
            ),
            loss=LOSSES["dice_ce"](),
            resampling=resampling or Resampling(),
            predicted_memory_gib=1.0,
        )
        return Plan(
            dataset_name="made",
            num_axes=num_axes,
            channel_names=tuple(f"channel {index}" for index in range(channels)),
            labels=LabelScheme(
                names=tuple(f"class {value}" for value in label_values),
                values=label_values,
                regions=regions,
                ignore=ignore,
            ),
            axis_order=axis_order or tuple(range(num_axes)),
            default_configuration="only",
            configurations=(configuration,),
            decisions=(),
        )

    return make
