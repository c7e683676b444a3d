"""Options of experiment trackers, which several commands share."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from autoseg.tracking import Tracker

Track = Annotated[
    list[str] | None,
    typer.Option(
        help="Experiment tracker to log to: tensorboard, mlflow or wandb; repeatable.",
        show_default="none",
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        envvar="MLFLOW_TRACKING_URI",
        help="Server or database of --track mlflow, such as http://localhost:5000.",
        show_default="mlflow.db in the work folder",
    ),
]


def parse_trackers(
    context: typer.Context, names: list[str] | None, uri: str | None
) -> "tuple[Tracker, ...]":
    """Parse the options of experiment trackers, and import their packages.

    Args:
        context: The command.
        names: Values of `--track`.
        uri: Value of `--tracking-uri`.

    Raises:
        UnknownComponent: If there is no tracker of a name.
        MissingPackage: If the package of a tracker cannot be imported.
        BadParameter: If `--tracking-uri` is given without a tracker that uses it.
    """
    source = context.get_parameter_source("tracking_uri")
    if "mlflow" not in (names or ()) and source is not None and source.name == "COMMANDLINE":
        msg = "found without --track mlflow, the only tracker that uses it. Add that option."
        raise typer.BadParameter(msg, param_hint="'--tracking-uri'")
    if not names:
        return ()
    from autoseg.tracking import TRACKERS

    trackers = []
    for name in dict.fromkeys(names):
        tracker = TRACKERS[name](kind=name)
        if "uri" in type(tracker).model_fields:
            tracker = tracker.model_copy(update={"uri": uri or None})
        tracker.check_installed()
        trackers.append(tracker)
    return tuple(trackers)
