from fingerprints import make_fingerprint, small_volumes

from autoseg.architectures import ARCHITECTURES
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.planning.table import plan_tables


def plan():
    return make_plan(
        small_volumes(),
        network=ARCHITECTURES["unet"],
        memory_gib=8.0,
        machine=Machine(None, 2),
    )


def rows(plan, title):
    table = next(table for table in plan_tables(plan) if table.title == title)
    return {row.field: row for row in table.rows}


def edited(plan, **changes):
    configurations = tuple(
        configuration.model_copy(update=changes)
        if configuration.name == "3d_fullres"
        else (configuration)
        for configuration in plan.configurations
    )
    return plan.model_copy(update={"configurations": configurations})


def test_there_is_one_table_for_all_and_one_per_configuration():
    titles = [table.title for table in plan_tables(plan())]
    assert titles == ["synthetic", "2d", "3d_fullres", "2d_compact", "3d_compact"]


def test_a_table_shows_values_reasons_memory_and_time():
    found = rows(plan(), "3d_fullres")
    assert found["patch_shape"].value == "40 × 56 × 40 voxels"
    assert "voxels, of which 2 patches fit 8 GiB" in found["patch_shape"].reason
    assert found["predicted_memory"].value.endswith("GiB")
    assert "2 CPU cores" in found["predicted_time"].reason


def test_what_an_earlier_configuration_has_refers_to_it():
    assert rows(plan(), "3d_compact")["spacing"].reason == "as in 3d_fullres"
    assert "expected to lose the least Dice" in rows(plan(), "3d_compact")["patch_shape"].reason


def test_an_edited_value_shows_what_the_rule_had_chosen():
    original = plan()
    batch = original.configuration("3d_fullres").batch_size
    found = rows(edited(original, batch_size=5), "3d_fullres")
    assert found["batch_size"].value == "5"
    assert found["batch_size"].reason == f"edited by hand; the rule chose {batch}"
    assert "computed from values edited" in found["predicted_memory"].reason
    assert found["predicted_time"].reason.endswith("(before editing)")
    assert "edited" not in found["spacing"].reason


def test_a_table_shown_alone_refers_to_no_other():
    (_, alone) = plan_tables(plan(), only=frozenset({"3d_compact"}))
    assert alone.title == "3d_compact"
    assert not [row for row in alone.rows if row.reason.startswith("as in")]


def test_pictures_of_no_known_size_have_pixels_and_no_millimetres():
    pictures = make_fingerprint([(96, 128)] * 4, [(1, 1)] * 4)
    of_a_scan = make_fingerprint([(96, 128)] * 4, [(0.5, 0.5)] * 4)
    found = [
        rows(make_plan(entry, memory_gib=8.0, machine=Machine(None, 2)), "2d")["spacing"]
        for entry in (pictures, of_a_scan)
    ]
    assert [row.value for row in found] == ["1 × 1 px", "0.5 × 0.5 mm"]
    assert rows(plan(), "2d")["spacing"].value.endswith("mm")


def test_a_patch_is_called_shrunk_only_if_it_is():
    large = make_fingerprint([(300, 300, 300)] * 4, [(1, 1, 1)] * 4)
    whole = make_fingerprint([(30, 30, 30)] * 4, [(1, 1, 1)] * 4)
    found = [
        rows(make_plan(entry, memory_gib=8.0, machine=Machine(None, 2)), "3d_fullres")[
            "patch_shape"
        ]
        for entry in (large, whole)
    ]
    words = ("and shrinks until 2 patches", ", of which 2")
    assert all(word in row.reason for word, row in zip(words, found, strict=True))
