"""Options of commands that predict with a trained model."""

from typing import Annotated

import typer

from autoseg.core.work_root import WORK_ROOT


def _check_step(value: float | None) -> float | None:
    if value is not None and not 0 < value <= 1:
        msg = f"found {value}; expected a number above 0 and at most 1."
        raise typer.BadParameter(msg)
    return value


ModelOption = Annotated[
    str | None,
    typer.Option(
        help="Model file, work folder, models/<configuration> folder, fold folder, or name of a "
        "registered model.",
        show_default=f"the only one in ./{WORK_ROOT}",
    ),
]
StepSize = Annotated[
    float | None,
    typer.Option(
        help="Distance of tiles as a fraction of the patch, above 0 and at most 1.",
        show_default="0.5",
        callback=_check_step,
    ),
]
