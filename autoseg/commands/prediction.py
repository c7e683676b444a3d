"""`autoseg predict`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared
from autoseg.commands.predicting import ModelOption, StepSize
from autoseg.commands.registry import Registry, registry_folder
from autoseg.stages.predict.outputs.options import DicomKind, OutputOptions


def predict(
    context: typer.Context,
    inputs: Annotated[Path, typer.Argument(help="Folder with images, or a single image.")],
    outputs: Annotated[Path, typer.Argument(help="Output folder for the label maps.")],
    model: ModelOption = None,
    fold: shared.FoldOption = None,
    mirroring: shared.MirroringOption = True,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip images that already have all outputs.")
    ] = False,
    output_format: Annotated[
        str,
        typer.Option(
            help="Ending of the label maps, such as .nrrd, .seg.nrrd, .mha, .tif or .png.",
            show_default="that of the image",
        ),
    ] = "",
    file_per_class: Annotated[
        bool,
        typer.Option("--file-per-class", help="Also write a mask per class, in masks/CASE."),
    ] = False,
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Also write the probability of each class."),
    ] = False,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Also write the entropy of the probabilities, 0 to 1."),
    ] = False,
    statistics: Annotated[
        bool,
        typer.Option(
            "--statistics", help="Also write a table of volumes, intensities and positions."
        ),
    ] = False,
    preview: Annotated[
        bool, typer.Option("--preview", help="Also draw a slice of each image with outlines.")
    ] = False,
    dicom: Annotated[
        list[DicomKind] | None,
        typer.Option(
            help="Also write DICOM objects for DICOM series: seg or rtstruct; repeatable.",
            show_default="none",
        ),
    ] = None,
    dicom_codes: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with the codes of the classes in DICOM objects.",
            show_default="the code of a tissue",
        ),
    ] = None,
    step_size: StepSize = None,
    series: shared.SeriesPatterns = None,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    workers: shared.Workers = None,
    registry: Registry = None,
    cache: shared.Cache = None,
) -> None:
    """Segment images.

    Label maps have the geometry of their image and the label values of the training data.
    """
    from autoseg.core.formatting import format_count, format_value
    from autoseg.core.memory import peak_process_gib
    from autoseg.models.registry import ModelRegistry
    from autoseg.stages.predict import predict as stage
    from autoseg.terminal import exit_on_issues

    progress = shared.terminal_progress(context, outputs)
    known = ModelRegistry(registry_folder(registry))
    options = stage.PredictOptions(
        model=known.resolve(model) if model else None,
        folds=shared.parse_folds(fold),
        use_mirroring=mirroring,
        skip_existing=skip_existing,
        series=tuple(series or ()),
        step_size=step_size,
        outputs=OutputOptions(
            ending=output_format and f".{output_format.lower().removeprefix('.')}",
            file_per_class=file_per_class,
            probabilities=probabilities,
            uncertainty=uncertainty,
            statistics=statistics,
            preview=preview,
            dicom=tuple(dicom or ()),
            dicom_codes=dicom_codes,
        ),
        compute=shared.compute_on(device, precision, workers, cache),
    )
    report = stage.predict(inputs, outputs, options, progress)
    written = format_count(len(report.written), "label map")
    failed = f"; {format_count(len(report.failures), 'case')} failed" if report.failures else ""
    progress.say(f"{written} written to {outputs} with {report.model}{failed}")
    progress.say(f"memory: {format_value(peak_process_gib(), '.2f')} GiB at the peak of a process")
    if report.skipped:
        progress.say(f"{format_count(len(report.skipped), 'existing label map')} skipped")
    exit_on_issues([(failure.name, failure.message) for failure in report.failures])
