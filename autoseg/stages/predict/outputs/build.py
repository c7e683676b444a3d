"""The outputs that options ask for."""

from collections.abc import Sequence
from pathlib import Path

from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.progress import Progress
from autoseg.datasets.inputs import InputCase
from autoseg.datasets.recognition.inventory import DICOM_ENDING
from autoseg.documents.plan import Plan
from autoseg.readers import READERS
from autoseg.readers.names import reader_for
from autoseg.stages.predict.outputs.base import CaseOutput
from autoseg.stages.predict.outputs.label_map import LabelMapOutput
from autoseg.stages.predict.outputs.masks import MaskOutput
from autoseg.stages.predict.outputs.options import DicomKind, OutputOptions
from autoseg.stages.predict.outputs.preview import PreviewOutput
from autoseg.stages.predict.outputs.probability_maps import ProbabilityOutput, UncertaintyOutput
from autoseg.stages.predict.outputs.statistics import StatisticsOutput


def case_outputs(
    options: OutputOptions, cases: Sequence[InputCase], folder: Path, plan: Plan
) -> tuple[CaseOutput, ...]:
    """Return the outputs of a command; the label map is the last one.

    Args:
        options: Which outputs.
        cases: The images.
        folder: Output folder.
        plan: Plan of the model.

    Raises:
        DatasetError: If an option does not fit the images or the model.
        MissingPackage: If an output needs a package that is not installed.
    """
    found: list[CaseOutput] = []
    if options.file_per_class:
        found.append(MaskOutput(folder, plan, options.ending))
    if options.probabilities:
        found.append(ProbabilityOutput(folder, plan))
    if options.uncertainty:
        found.append(UncertaintyOutput(folder, plan))
    if options.statistics:
        found.append(StatisticsOutput(folder, plan))
    if options.preview:
        found.append(PreviewOutput(folder, plan))
    return (
        *found,
        *_dicom(options, cases, folder, plan),
        LabelMapOutput(folder, plan, options.ending),
    )


def _dicom(
    options: OutputOptions, cases: Sequence[InputCase], folder: Path, plan: Plan
) -> list[CaseOutput]:
    if options.dicom_codes is not None and not options.dicom:
        msg = "--dicom-codes needs --dicom seg or --dicom rtstruct; found neither. Add one of them."
        raise DatasetError(msg)
    if not options.dicom:
        return []
    if not any(case.ending == DICOM_ENDING for case in cases):
        endings = ", ".join(sorted({case.ending for case in cases}))
        raise DatasetError(
            f"--dicom needs images that are DICOM series; found {endings}. Predict the DICOM "
            "files, or leave the option out."
        )
    from autoseg.stages.predict.outputs.dicom_rtstruct import RtstructOutput
    from autoseg.stages.predict.outputs.dicom_seg import DicomSegOutput
    from autoseg.stages.predict.outputs.dicom_source import load_codes

    codes = load_codes(options.dicom_codes, plan)
    kinds = {DicomKind.SEG: DicomSegOutput, DicomKind.RTSTRUCT: RtstructOutput}
    return [kinds[kind](folder, plan, codes) for kind in dict.fromkeys(options.dicom)]


def check_ending(ending: str) -> None:
    """Check the ending of label maps.

    Raises:
        DatasetError: If label maps cannot have it.
    """
    try:
        is_known = ending in reader_for(Path(f"case{ending}")).label_endings
    except CaseError:
        is_known = False
    if not is_known:
        known = [end for name in READERS for end in READERS[name].label_endings]
        raise DatasetError(
            f"--output-format {ending} is not a format of label maps; expected one of "
            f"{', '.join(known)}."
        )


def say_what_is_lost(ending: str, cases: Sequence[InputCase], progress: Progress) -> None:
    """Warn if the chosen format cannot hold the geometry of some images.

    Args:
        ending: Ending of label maps.
        cases: The images.
        progress: Receives the warning.
    """
    reader = reader_for(Path(f"case{ending}"))
    names = [case.name for case in cases if reader_for(case.images[0]).holds_world_geometry]
    if reader.holds_world_geometry or not names:
        return
    lost = "voxel size, origin or direction" if reader.max_axes == 2 else "origin or direction"
    progress.say(
        f"warning: {ending} files store no {lost}, so that these of {names[0]} and others are lost."
        if len(names) > 1
        else f"warning: {ending} files store no {lost}, so that these of {names[0]} are lost."
    )
