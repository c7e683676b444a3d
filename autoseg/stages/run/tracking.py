"""What experiment trackers receive of a run: the parent of the runs of its trainings."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.report import Report
from autoseg.documents.run_schedule import RunSchedule
from autoseg.stages.project import Project
from autoseg.stages.run.request import RunRequest
from autoseg.stages.train.tracking import anonymous_report, common_tags, dice_metrics
from autoseg.tracking.base import Metrics, RunDescription
from autoseg.tracking.parameters import flat_parameters
from autoseg.tracking.tracked import Tracked, Tracking, tracked


@contextmanager
def track_run(project: Project, request: RunRequest, progress: Progress) -> Iterator[Tracked]:
    """Track a run within the block.

    Args:
        project: The project.
        request: Options of the run, with the trackers.
        progress: Receives warnings.
    """
    compute = request.compute
    settings = {
        "budget_seconds": request.budget_seconds,
        "configurations": request.configurations,
        "seed": request.seed,
        "device": compute.device,
        "precision": compute.precision,
    }
    root, plan = project.workspace.root, project.plan
    run = RunDescription(
        name="autoseg run",
        experiment=plan.dataset_name,
        folder=root,
        work=root,
        parameters=flat_parameters(settings, "options"),
        tags=common_tags(plan),
    )
    with tracked(Tracking(request.trackers), run, progress.say) as started:
        yield started


def log_result(
    run: Tracked, project: Project, schedule: RunSchedule, model: Path, test: Report | None
) -> None:
    """Log the scores and files of a finished run.

    Args:
        run: The run in the trackers.
        project: The project.
        schedule: Its trainings.
        model: The model file.
        test: Scores of the test cases; None without any.
    """
    if not run.is_used:
        return
    workspace = project.workspace
    report = store.load_if_valid(Report, workspace.cross_validation)
    values = {
        **dice_metrics(report),
        **dice_metrics(test, "test_dice"),
        "seconds": schedule.seconds_spent,
    }
    pictures = (workspace.leaderboard, workspace.plan, model)
    files = tuple(path for path in pictures if path.is_file())
    with TemporaryDirectory() as temporary:
        if report is not None:
            files = (*files, anonymous_report(report, project, Path(temporary)))
        run.finish(Metrics(len(schedule.trainings), values), files)
