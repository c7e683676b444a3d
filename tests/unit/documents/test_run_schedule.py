from autoseg.documents.run_schedule import RunSchedule, ScheduledTraining

FIRST = ScheduledTraining(configuration="2d", fold=0, seconds=60.0)


def schedule(**changes):
    return RunSchedule(budget_seconds=100.0, candidates=("2d",), reason="it is small", **changes)


def test_a_training_is_added_once_and_changed_in_place():
    later = FIRST.model_copy(update={"fold": 1})
    both = schedule().with_training(FIRST).with_training(later)
    done = FIRST.model_copy(update={"overhead_seconds": 3.0})
    assert both.with_training(done).trainings == (done, later)
    assert both.training("2d", 1) == later
    assert both.training("3d", 1) is None


def test_a_budget_is_never_less_than_spent():
    assert schedule(seconds_spent=30.0).seconds_left == 70.0
    assert schedule(seconds_spent=130.0).seconds_left == 0.0
    unlimited = RunSchedule(budget_seconds=None, candidates=("2d",), reason="no limit")
    assert unlimited.seconds_left is None
