"""The command line: parse, call one stage, print its result."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from autoseg.core.errors import AutosegError, Interrupted, fault_of_disk
from autoseg.core.parallel import default_workers

if TYPE_CHECKING:
    from autoseg.documents.workspace import Workspace

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

WORK_ROOT = Path("autoseg_work")

Dataset = Annotated[Path, typer.Argument(help="Folder with images and labels.")]
Work = Annotated[
    Path | None,
    typer.Option(
        help="Work folder; everything made goes there.",
        show_default=f"./{WORK_ROOT}/<dataset's folder name>",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Background processes.", show_default="fits the machine"),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps …")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(help="Type that convolutions compute in."),
]
ConfigurationName = Annotated[
    str | None,
    typer.Option("--configuration", "-c", help="Which one.", show_default="the plan's choice"),
]
NetworkName = Annotated[
    str | None,
    typer.Option(
        help="Architecture.",
        show_default="residual_encoder_unet on an accelerator of 20 GiB or more, else unet",
    ),
]


@app.callback()
def about() -> None:
    """Self-configuring image segmentation: a folder of images and labels in, a model out.

    The three steps: autoseg plan DATASET; autoseg train DATASET --fold 0; autoseg predict IN OUT.
    """


@app.command()
def plan(
    dataset: Dataset,
    work: Work = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            help="Accelerator memory to plan for, GiB.",
            show_default="the accelerator's, or 8 without one",
        ),
    ] = None,
    network: NetworkName = None,
    loss: Annotated[str | None, typer.Option(help="Loss.", show_default="dice_ce")] = None,
    workers: Workers = None,
    skip_bad_cases: Annotated[
        bool, typer.Option("--skip-bad-cases", help="Go on without cases that have faults.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Show the reasons of every configuration.")
    ] = False,
) -> None:
    """Check and measure a dataset, and decide how to segment it. Nothing is written into it."""
    from autoseg.planning.table import plan_tables, summary_rows
    from autoseg.stages import plan as stage
    from autoseg.terminal import TerminalProgress

    progress = TerminalProgress()
    workspace = _workspace(dataset, work)
    made = stage.plan(
        dataset,
        workspace,
        network=network,
        loss=loss,
        memory_gib=memory,
        workers=_workers(workers),
        skip_bad_cases=skip_bad_cases,
        progress=progress,
    )
    only = None if everything else frozenset({made.default_configuration})
    for table in plan_tables(made, only=only):
        rows = [(row.field, row.value, row.because) for row in table.rows]
        progress.table(table.title, ("", "value", "because"), rows)
    progress.table("Configurations", *summary_rows(made))
    if not everything:
        progress.say("--all shows the reasons of every configuration.")
    progress.say(f"The plan is {workspace.plan}; edit it if you know better.")
    progress.say(f"Next: autoseg train {dataset} --fold 0")


@app.command()
def preprocess(
    dataset: Dataset,
    configuration: ConfigurationName = None,
    work: Work = None,
    workers: Workers = None,
) -> None:
    """Prepare the cases of a planned dataset, as `train` would."""
    from autoseg.stages import preprocess as stage
    from autoseg.terminal import TerminalProgress

    progress = TerminalProgress()
    report = stage.preprocess(
        _planned_workspace(dataset, work),
        configuration=configuration,
        workers=_workers(workers),
        progress=progress,
    )
    progress.say(
        f"{len(report.prepared)} cases prepared in {report.seconds:.1f} s, "
        f"{len(report.reused)} were there already"
    )


@app.command()
def train(
    dataset: Dataset,
    fold: Annotated[int, typer.Option(min=0, help="Which fold to hold out.")] = 0,
    configuration: ConfigurationName = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Length in epochs.", show_default="1000")
    ] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Length in steps.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Length as a time, such as 30m, 8h or 1h30m.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, sampling and augmentation.")] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    work: Work = None,
    workers: Workers = None,
    checkpoint_every: Annotated[str, typer.Option(help="How often to save.")] = "3m",
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what this fold was trained to.")
    ] = False,
) -> None:
    """Train one fold and score it.

    The same command goes on where it stopped. At the end held-out cases are predicted and scored.
    """
    from autoseg.evaluation.table import report_rows
    from autoseg.stages import train as stage
    from autoseg.stages.length import LengthRequest, seconds_of
    from autoseg.terminal import TerminalProgress, exit_if_any

    progress = TerminalProgress()
    workspace = _planned_workspace(dataset, work)
    request = stage.TrainRequest(
        fold=fold,
        configuration=configuration,
        length=LengthRequest(epochs=epochs, iterations=iterations, budget=budget),
        seed=seed,
        precision=precision,
        device=device,
        workers=workers,
        checkpoint_seconds=seconds_of(checkpoint_every),
        restart=restart,
    )
    try:
        trained = stage.train(workspace, request, progress=progress)
    finally:
        progress.close()
    progress.table(f"Held-out cases of fold {fold}", *report_rows(trained.report))
    progress.say(f"The model is {trained.folder.parent}; curves and scores lie in {trained.folder}")
    exit_if_any([(fault.name, fault.message) for fault in trained.report.faults])


@app.command()
def predict(
    inputs: Annotated[Path, typer.Argument(help="Folder with images, or one image.")],
    outputs: Annotated[Path, typer.Argument(help="Folder for the label maps.")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="Model file, work folder, models/<configuration> folder, or a fold's folder.",
            show_default=f"the one in ./{WORK_ROOT}",
        ),
    ] = None,
    fold: Annotated[
        list[int] | None,
        typer.Option(help="Use this fold; repeatable.", show_default="all trained ones"),
    ] = None,
    mirroring: Annotated[
        bool, typer.Option(help="Average over mirrored images: slower, a little better.")
    ] = True,
    go_on: Annotated[
        bool, typer.Option("--continue", help="Leave outputs that exist as they are.")
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = None,
) -> None:
    """Segment images. Each output has its input's geometry and the training's label values."""
    from autoseg.stages import predict as stage
    from autoseg.terminal import TerminalProgress, exit_if_any

    progress = TerminalProgress()
    options = stage.PredictOptions(
        model=model,
        device=device,
        precision=precision,
        folds=tuple(fold) if fold else None,
        use_mirroring=mirroring,
        skip_finished=go_on,
        workers=_workers(workers),
    )
    report = stage.predict(inputs, outputs, options, progress)
    progress.say(f"{len(report.written)} label maps written to {outputs} with {report.model}")
    if report.skipped:
        progress.say(f"{len(report.skipped)} were there already")
    exit_if_any([(failure.name, failure.message) for failure in report.failures])


@app.command()
def export(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[MODEL] OUTPUT",
            help="Model as for predict --model (may be left out), and the .autoseg file to write.",
        ),
    ],
    fold: Annotated[
        list[int] | None,
        typer.Option(help="Take this fold; repeatable.", show_default="all trained ones"),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store weights in half precision: half the size.")
    ] = False,
    model_license: Annotated[
        str | None,
        typer.Option("--license", help="Of the model, for its card.", show_default="not stated"),
    ] = None,
) -> None:
    """Write a trained model as one file."""
    from autoseg.stages import export as stage
    from autoseg.terminal import TerminalProgress

    if len(paths) > 2:
        msg = f"found {len(paths)} paths; expected the model's (or none) and the output's."
        raise typer.BadParameter(msg)
    model = paths[0] if len(paths) == 2 else None
    options = stage.ExportOptions(folds=tuple(fold) if fold else None, half=half)
    if model_license:
        options = replace(options, license=model_license)
    manifest = stage.export(model, paths[-1], options)
    size = paths[-1].stat().st_size / 1e6
    progress = TerminalProgress()
    progress.say(
        f"{paths[-1]}: {manifest.configuration}, {len(manifest.parts)} parts, {size:.1f} MB"
    )
    progress.say(f"Next: autoseg predict IN OUT --model {paths[-1]}")


@app.command()
def describe(
    file: Annotated[Path, typer.Argument(help="Model file.")],
) -> None:
    """Print the card of a model file."""
    from autoseg.stages import export as stage

    typer.echo(stage.describe(file), nl=False)


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.")],
    references: Annotated[Path, typer.Argument(help="Folder of what they should be.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Surface distance that NSD forgives, mm.",
            show_default="one voxel along each case's coarsest axis",
        ),
    ] = None,
    cases: Annotated[bool, typer.Option("--cases", help="Also list every case.")] = False,
    workers: Workers = None,
) -> None:
    """Score label maps: Dice, IoU, HD95, ASSD and NSD."""
    from autoseg.evaluation.table import case_rows, report_rows
    from autoseg.stages import evaluate as stage
    from autoseg.terminal import TerminalProgress, exit_if_any

    progress = TerminalProgress()
    report = stage.evaluate(
        predictions,
        references,
        tolerance_mm=tolerance,
        workers=_workers(workers),
        progress=progress,
    )
    if cases:
        progress.table("Cases", *case_rows(report))
    progress.table(f"{len(report.cases)} cases", *report_rows(report))
    for name in report.missing_predictions:
        progress.say(f"no prediction: {name}")
    for name in report.missing_references:
        progress.say(f"no reference: {name}")
    progress.say(f"Saved as {predictions / stage.REPORT_NAME}")
    exit_if_any([(fault.name, fault.message) for fault in report.faults])


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")] = Path("autoseg_demo"),
    budget: Annotated[str, typer.Option(help="Training time of each of the two.")] = "50s",
    device: Device = "auto",
) -> None:
    """Run the whole path on small made-up datasets."""
    from autoseg.evaluation.table import report_rows
    from autoseg.stages import demo as stage
    from autoseg.terminal import TerminalProgress

    progress = TerminalProgress()
    try:
        results = stage.demo(folder, budget=budget, device=device, progress=progress)
    finally:
        progress.close()
    for result in results:
        progress.table(f"{result.name}: unseen cases", *report_rows(result.report))
        progress.say(f"Look at {result.overlay}")


def main() -> None:
    """Run the command line; user errors print one message and exit with status 1.

    Ctrl-C and SIGTERM, once the work is saved, exit with status 130.
    """
    _let_idle_threads_sleep()
    try:
        app()
    except Interrupted as stop:
        typer.secho(str(stop), fg="yellow", err=True)
        sys.exit(130)
    except (AutosegError, OSError) as error:
        message = str(error) if isinstance(error, AutosegError) else fault_of_disk(error)
        if message is None:
            raise
        typer.secho(f"error: {message}", fg="red", err=True)
        sys.exit(1)


def _let_idle_threads_sleep() -> None:
    """Have OpenMP threads sleep while they wait, unless the user has said otherwise.

    By default they spin, and where other processes share the cores (the batch loader, a second
    training, a laptop's browser) a spinning thread keeps the one it waits for from running: beside
    another training on the same 2 cores a step took 2.76 s, sleeping 0.45 s. OpenMP reads this
    when torch is loaded, which is later than here.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # noqa: TID251


def _workspace(dataset: Path, work: Path | None) -> "Workspace":
    from autoseg.documents.workspace import Workspace

    return Workspace(work or WORK_ROOT / dataset.resolve().name)


def _planned_workspace(dataset: Path, work: Path | None) -> "Workspace":
    from autoseg.stages.fingerprint import check_origin

    workspace = _workspace(dataset, work)
    check_origin(dataset, workspace)
    return workspace


def _workers(wanted: int | None) -> int:
    return default_workers() if wanted is None else wanted
