import errno
import os
import pickle
import shutil

import blosc2
import numpy as np
import pytest
from full_disk import failing_library, fill_disk

from autoseg.core.case import InverseTransform, PreparedImage
from autoseg.core.errors import CaseError, DiskError, DocumentError
from autoseg.core.labels import LabelScheme, Region
from autoseg.documents.preparation import Resampling
from autoseg.preprocessing.array_files import write_array
from autoseg.preprocessing.foreground import sample_foreground
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.storage import (
    open_case,
    open_prepared,
    preparation_key,
    refresh_key,
    save_case,
)

SOURCE = (("images/a.nii.gz", 100, 5), ("labels/a.nii.gz", 50, 6))
WHOLE = Region(name="whole", values=(1, 2), written_as=1)
TAIL = Region(name="tail", values=(2,), written_as=2)


def classes_of(number: int) -> LabelScheme:
    return LabelScheme(names=tuple(map(str, range(number))), values=tuple(range(number)))


def prepared_case(shape: tuple[int, ...] = (20, 40, 30), channels: int = 2) -> PreparedCase:
    random = np.random.default_rng(0)
    voxels = random.normal(size=(channels, *shape)).astype(np.float32)
    classes = random.integers(0, 3, shape).astype(np.uint8)
    axes = len(shape)
    restoration = InverseTransform.uncropped(shape, (1.0,) * axes)
    return PreparedCase(
        name="one",
        image=PreparedImage(voxels=voxels, restoration=restoration),
        classes=classes,
        foreground=sample_foreground(classes, classes_of(4), "one"),
    )


@pytest.mark.parametrize(
    ("shape", "patch"),
    [((20, 40, 30), (16, 16, 16)), ((3, 200, 150), (64, 64)), ((70, 90), (256, 256))],
    ids=["volume", "slices", "picture"],
)
def test_a_case_comes_back_as_it_was_saved(tmp_path, shape, patch) -> None:
    case = prepared_case(shape)
    save_case(case, tmp_path / "one", patch, key="key", content_key="key")
    stored = open_case(tmp_path / "one")
    assert stored.shape == shape
    assert stored.record.name == "one"
    assert stored.record.restoration == case.image.restoration
    assert np.array_equal(stored.read_image(), case.image.voxels)
    assert np.array_equal(stored.read_classes(), case.classes)
    for kept, original in zip(stored.foreground, case.foreground, strict=True):
        assert np.array_equal(kept, original)
    counts = [len(found) for found in stored.foreground]
    assert counts == [len(found) for found in case.foreground]
    assert counts[0] == counts[3] == 0


def test_any_box_inside_reads_as_the_array_has_it(tmp_path) -> None:
    case = prepared_case()
    save_case(case, tmp_path / "one", (16, 16, 16), key="key", content_key="key")
    stored = open_case(tmp_path / "one")
    random = np.random.default_rng(1)
    for _ in range(20):
        edges = [np.sort(random.choice(size + 1, 2, replace=False)) for size in stored.shape]
        start, stop = (tuple(int(edge[side]) for edge in edges) for side in (0, 1))
        box = tuple(slice(*edge) for edge in edges)
        image, classes = stored.read_patch(start, stop)
        assert np.array_equal(image, case.image.voxels[:, *box])
        assert np.array_equal(classes, case.classes[box])
        assert classes.dtype == np.uint8


@pytest.mark.parametrize(
    ("start", "stop"), [((-1, 0, 0), (4, 4, 4)), ((0, 0, 0), (21, 4, 4)), ((4, 4, 4), (4, 8, 8))]
)
def test_a_box_that_sticks_out_or_is_empty_is_refused(tmp_path, start, stop) -> None:
    save_case(prepared_case(), tmp_path / "one", (16, 16, 16), key="key", content_key="key")
    with pytest.raises(ValueError, match="is not inside the case"):
        open_case(tmp_path / "one").read_patch(start, stop)


def test_slices_for_a_two_dimensional_patch_are_decompressed_one_by_one(tmp_path) -> None:
    save_case(prepared_case((9, 100, 80)), tmp_path / "one", (64, 64), key="key", content_key="key")
    image = blosc2.open(str(tmp_path / "one" / "image.b2nd"))
    assert image.blocks[:2] == (1, 1)
    assert image.chunks[:2] == (1, 9)


def test_large_slices_lie_in_chunks_of_their_own(tmp_path) -> None:
    save_case(
        prepared_case((2, 520, 520), channels=1),
        tmp_path / "one",
        (512, 512),
        key="key",
        content_key="key",
    )
    image = blosc2.open(str(tmp_path / "one" / "image.b2nd"))
    assert image.chunks == (1, 1, 512, 512)


def test_a_case_without_foreground_has_empty_lists(tmp_path) -> None:
    case = prepared_case((4, 4, 4))
    empty = PreparedCase(
        name="one",
        image=case.image,
        classes=np.zeros_like(case.classes),
        foreground=sample_foreground(np.zeros_like(case.classes), classes_of(3), "one"),
    )
    save_case(empty, tmp_path / "one", (4, 4, 4), key="key", content_key="key")
    stored = open_case(tmp_path / "one")
    assert [len(found) for found in stored.foreground] == [0, 0, 0]
    assert [positions.shape for positions in stored.foreground] == [(0, 3)] * 3


def test_reading_leaves_no_file_open_and_a_case_travels_to_other_processes(tmp_path) -> None:
    save_case(prepared_case(), tmp_path / "one", (16, 16, 16), key="key", content_key="key")
    stored = open_case(tmp_path / "one")
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    for _ in range(5):
        stored.read_patch((0, 0, 0), (4, 4, 4))
        assert len(stored.foreground[1])
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208
    twin = pickle.loads(pickle.dumps(stored))
    assert np.array_equal(twin.read_classes(), stored.read_classes())


def test_only_the_same_key_counts_as_prepared(tmp_path) -> None:
    folder = tmp_path / "one"
    assert open_prepared(folder, "key") is None
    save_case(prepared_case(), folder, (16, 16, 16), key="key", content_key="key")
    assert open_prepared(folder, "key") is not None
    assert open_prepared(folder, "another key") is None
    (folder / "case.json").write_text("{}")
    assert open_prepared(folder, "key") is None


def test_saving_again_replaces_the_older_case(tmp_path) -> None:
    save_case(prepared_case(), tmp_path / "one", (16, 16, 16), key="old", content_key="old")
    save_case(
        prepared_case((5, 6, 7)), tmp_path / "one", (16, 16, 16), key="new", content_key="new"
    )
    assert open_case(tmp_path / "one").shape == (5, 6, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@pytest.mark.parametrize("name", ["image.b2nd", "labels.b2nd", "foreground.npy"])
@pytest.mark.parametrize("kept", [0, 100, 0.5])
def test_a_damaged_file_names_its_case_and_is_prepared_again(tmp_path, name, kept) -> None:
    folder = tmp_path / "one"
    save_case(prepared_case(), folder, (16, 16, 16), key="key", content_key="key")
    stored, path = open_case(folder), folder / name
    content = path.read_bytes()
    os.truncate(path, kept if kept != 0.5 else len(content) // 2)
    assert open_prepared(folder, "key") is None
    assert not refresh_key(folder, key="new", content_key="key")
    with pytest.raises(CaseError, match=r"prepared data of one are damaged: .*Run the same comm"):
        _ = stored.foreground, stored.read_patch((0, 0, 0), stored.shape)
    path.write_bytes(content)
    assert open_prepared(folder, "key") is None  # it was noticed, and stays marked


def test_damage_inside_of_an_array_is_noticed_when_it_is_read(tmp_path) -> None:
    folder = tmp_path / "one"
    save_case(prepared_case(), folder, (16, 16, 16), key="key", content_key="key")
    content = bytearray((folder / "labels.b2nd").read_bytes())
    middle = len(content) // 3
    content[middle : middle + 4096] = bytes(4096)
    (folder / "labels.b2nd").write_bytes(content)
    stored = open_prepared(folder, "key")
    with pytest.raises(CaseError, match="prepared data of one are damaged"):
        stored.read_classes()
    assert open_prepared(folder, "key") is None


def test_a_class_that_the_case_does_not_have_is_damage(tmp_path) -> None:
    case, folder = prepared_case(), tmp_path / "one"
    save_case(case, folder, (16, 16, 16), key="key", content_key="key")
    (folder / "labels.b2nd").unlink()
    write_array(case.classes + np.uint8(9), folder / "labels.b2nd", (16, 16, 16), axis=0)
    with pytest.raises(CaseError, match=r"are damaged: .*class 11, at most 2"):
        open_case(folder).read_patch((0, 0, 0), (4, 4, 4))


def test_a_number_of_channels_that_the_file_cannot_hold_is_damage(tmp_path) -> None:
    folder = tmp_path / "one"
    save_case(prepared_case(), folder, (16, 16, 16), key="key", content_key="key")
    claimed = (10**6, *open_case(folder).shape)
    (folder / "image.b2nd").unlink()
    blosc2.zeros(
        claimed, np.float32, urlpath=str(folder / "image.b2nd"), chunks=(10**3, *claimed[1:])
    )
    with pytest.raises(CaseError, match="prepared data of one are damaged"):
        open_case(folder).read_patch((0, 0, 0), (4, 4, 4))


def test_a_position_outside_of_the_case_is_damage(tmp_path) -> None:
    save_case(prepared_case(), tmp_path / "one", (16, 16, 16), key="key", content_key="key")
    stored = open_case(tmp_path / "one")
    stored.check_inside((19, 39, 29))
    with pytest.raises(CaseError, match=r"prepared data of one are damaged: .*foreground\.npy"):
        stored.check_inside((20, 0, 0))


def test_a_record_of_other_positions_is_damage(tmp_path) -> None:
    folder = tmp_path / "one"
    save_case(prepared_case(), folder, (16, 16, 16), key="key", content_key="key")
    record = folder / "case.json"
    ends = open_case(folder).record.class_offsets
    record.write_text(record.read_text().replace(str(ends[1:3])[1:-1], f"{ends[1]}, {10**9}"))
    with pytest.raises(CaseError, match="prepared data of one are damaged"):
        _ = open_case(folder).foreground
    assert open_prepared(folder, "key") is None


def test_a_file_of_another_size_is_damage(tmp_path) -> None:
    folder = tmp_path / "one"
    save_case(prepared_case(), folder, (16, 16, 16), key="key", content_key="key")
    assert open_prepared(folder, "key") is not None
    with (folder / "labels.b2nd").open("ab") as file:
        file.write(b"more")
    assert open_prepared(folder, "key") is None


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ESTALE, "Stale file handle"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        MemoryError("out of memory"),
    ],
    ids=str,
)
def test_errors_of_the_system_are_no_damage(error, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "one"
    save_case(prepared_case(), folder, (16, 16, 16), key="key", content_key="key")

    def failing(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(blosc2, "open", failing)
        patch.setattr(np, "load", failing)
        for name in ("voxels", "foreground"):
            with pytest.raises(type(error), match=str(error.args[-1])):
                getattr(open_case(folder), name)
    assert open_prepared(folder, "key") is not None


def test_a_full_disk_is_named_instead_of_an_error_of_blosc(tmp_path, monkeypatch) -> None:
    fill_disk(monkeypatch)
    monkeypatch.setattr(blosc2, "asarray", failing_library)
    with pytest.raises(DiskError, match=r"No space left on device \(.* MB free, up to \d+ kB"):
        save_case(prepared_case(), tmp_path / "one", (16, 16, 16), key="key", content_key="key")
    assert not list(tmp_path.iterdir())


def test_an_array_that_is_computed_when_it_is_opened_is_refused(tmp_path) -> None:
    save_case(prepared_case(), tmp_path / "one", (16, 16, 16), key="key", content_key="key")
    path = tmp_path / "one" / "image.b2nd"
    lazy = blosc2.open(str(tmp_path / "one" / "labels.b2nd")) + 1
    path.unlink()
    lazy.save(str(path))
    case = open_case(tmp_path / "one")
    with pytest.raises(CaseError, match="of one are damaged"):
        case.read_image()


def test_arrays_of_another_shape_are_refused(tmp_path) -> None:
    save_case(prepared_case(), tmp_path / "one", (16, 16, 16), key="key", content_key="key")
    save_case(
        prepared_case((20, 40, 31)), tmp_path / "two", (16, 16, 16), key="key", content_key="key"
    )
    for name in ("image.b2nd", "labels.b2nd", "foreground.npy"):
        shutil.copy(tmp_path / "two" / name, tmp_path / "one" / name)
    case = open_case(tmp_path / "one")
    for read in (case.read_image, case.read_classes, lambda: case.read_patch((0,) * 3, (1,) * 3)):
        with pytest.raises(CaseError, match="expected an array of"):
            read()
    np.save(tmp_path / "one" / "foreground.npy", np.zeros((3, 2)))
    with pytest.raises(CaseError, match="float64 of shape"):
        _ = case.foreground


def test_a_folder_without_a_case_names_the_command(tmp_path) -> None:
    with pytest.raises(DocumentError, match="autoseg train"):
        open_case(tmp_path / "nothing")


def test_the_key_changes_with_all_that_changes_the_result(make_plan) -> None:
    def key(source=SOURCE, **changes) -> str:
        plan = make_plan(**changes)
        return preparation_key(plan, plan.configurations[0], source)

    changed = [
        key(),
        key(spacing=(1.0, 1.0, 2.0)),
        key(spacing=(1.0, 1.0)),
        key(normalizers=("zscore",)),
        key(normalizers=({"kind": "zscore", "masked": True},)),
        key(axis_order=(1, 0, 2)),
        key(resampling=Resampling(image_order=1)),
        key(label_values=(0, 1, 5)),
        key(ignore=7),
        key(ignore=8),
        key(regions=(WHOLE,)),
        key(regions=(WHOLE, TAIL)),
        key(source=(*SOURCE[:1], ("labels/a.nii.gz", 50, 7))),
    ]
    assert len(set(changed)) == len(changed)


def test_the_key_stays_when_only_the_patch_changes(make_plan) -> None:
    plan, larger = make_plan(patch=8), make_plan(patch=16)
    keys = [preparation_key(each, each.configurations[0], SOURCE) for each in (plan, larger)]
    assert keys[0] == keys[1]


def test_a_case_that_two_trainings_prepare_at_once_is_read_by_both(tmp_path) -> None:
    case = prepared_case()
    save_case(case, tmp_path / "one", (16, 16, 16), key="a", content_key="a")
    stored = open_case(tmp_path / "one")
    save_case(case, tmp_path / "one", (16, 16, 16), key="a", content_key="a")
    assert open_case(tmp_path / "one").inode != stored.inode
    image, _ = stored.read_patch((0, 0, 0), (8, 8, 8))
    np.testing.assert_array_equal(image, case.image.voxels[:, :8, :8, :8])
    assert len(stored.foreground) == len(case.foreground)


def test_a_case_that_is_prepared_anew_while_it_is_read_is_noticed(tmp_path) -> None:
    save_case(prepared_case(), tmp_path / "one", (16, 16, 16), key="a", content_key="a")
    stored = open_case(tmp_path / "one")
    other = prepared_case((30, 50, 40))
    save_case(other, tmp_path / "one", (16, 16, 16), key="b", content_key="b")
    with pytest.raises(CaseError, match="was prepared again while it was in use"):
        stored.read_patch((0, 0, 0), (8, 8, 8))
    with pytest.raises(CaseError, match="was prepared again while it was in use"):
        _ = stored.foreground
    fresh = open_case(tmp_path / "one").read_patch((0, 0, 0), (8, 8, 8))[0]
    np.testing.assert_array_equal(fresh, other.image.voxels[:, :8, :8, :8])


@pytest.mark.parametrize("shape", [(20, 40, 30), (300, 150)])
def test_a_large_case_is_written_in_bands(tmp_path, shape, monkeypatch) -> None:
    monkeypatch.setattr("autoseg.preprocessing.array_files.BAND_BYTES", 1)
    case = prepared_case(shape)
    save_case(case, tmp_path / "one", (16,) * len(shape), key="key", content_key="key")
    stored = open_case(tmp_path / "one")
    assert np.array_equal(stored.read_image(), case.image.voxels)
    assert np.array_equal(stored.voxels[:, 3:7], case.image.voxels[:, 3:7])
    assert np.array_equal(stored.read_classes(), case.classes)
