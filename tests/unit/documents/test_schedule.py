from autoseg.documents.schedule import Schedule, ScheduledTraining

FIRST = ScheduledTraining(configuration="2d", fold=0, seconds=60.0)


def schedule(**changes):
    return Schedule(budget_seconds=100.0, entrants=("2d",), because="it is small", **changes)


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
    unlimited = Schedule(budget_seconds=None, entrants=("2d",), because="no limit")
    assert unlimited.seconds_left is None
