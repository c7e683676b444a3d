import json

import pytest
from fakes import tiny_configuration, tiny_plan
from fingerprints import small_volumes
from hypothesis import given
from hypothesis import strategies as st

from autoseg.core.errors import DocumentError
from autoseg.documents import store
from autoseg.documents.document import Document
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Plan
from autoseg.losses import AnyLoss

PLAN = tiny_plan(tiny_configuration((8, 8)), axis_order=(0, 1))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_readable_json_holds_the_same_value(value):
    assert json.loads(store.format_json(value)) == value


def test_lists_of_numbers_stay_on_one_line():
    text = store.format_json({"strides": [[1, 1], [2, 2]], "cases": [{"name": "a"}]})
    assert text == (
        '{\n  "strides": [[1, 1], [2, 2]],\n  "cases": [\n    {\n      "name": "a"\n    }\n  ]\n}'
    )


def test_a_saved_document_loads_as_it_was(tmp_path):
    document = small_volumes(num_cases=3)
    store.save(document, tmp_path / "new" / "fingerprint.json")
    loaded = store.load(Fingerprint, tmp_path / "new" / "fingerprint.json")
    assert loaded == document


def test_only_a_missing_or_invalid_document_counts_as_none(tmp_path, monkeypatch):
    path = tmp_path / "fingerprint.json"
    assert store.load_if_valid(Fingerprint, path) is None
    path.write_text("{")
    assert store.load_if_valid(Fingerprint, path) is None

    def read_text(_):
        raise PermissionError

    monkeypatch.setattr(store, "read_text", read_text)
    with pytest.raises(PermissionError):
        store.load_if_valid(Fingerprint, path)


class Named(Document):
    MADE_BY = "autoseg name"

    loss: AnyLoss


def test_an_unknown_component_names_the_file_it_is_in(tmp_path):
    path = tmp_path / "named.json"
    path.write_text('{"loss": "hinge"}')
    with pytest.raises(DocumentError, match="no loss called 'hinge'") as refusal:
        store.load(Named, path)
    assert str(path) in str(refusal.value)


def test_damaged_json_is_refused_with_the_command_that_makes_it_anew(tmp_path):
    path = tmp_path / "fingerprint.json"
    path.write_text("{")
    with pytest.raises(DocumentError, match="run `autoseg plan DATASET` again"):
        store.load(Fingerprint, path)
    with pytest.raises(DocumentError, match="run `autoseg train` again"):
        store.load(Fingerprint, path, made_by="autoseg train")


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        (9, "Upgrade with `pip install --upgrade autoseg`, or delete"),
        (1, "Delete"),
        ("\x1b[2J", "Delete"),
    ],
)
@pytest.mark.parametrize("loss", ["a field of another version", {"kind": "hinge"}])
def test_another_schema_version_is_the_only_issue_that_is_named(tmp_path, version, advice, loss):
    path = tmp_path / "plan.json"
    document = json.loads(PLAN.model_dump_json()) | {"schema_version": version}
    document["configurations"][0]["loss"] = loss
    path.write_text(json.dumps(document))
    with pytest.raises(DocumentError) as refusal:
        store.load(Plan, path)
    assert str(refusal.value) == (
        f"{path} has schema_version {version!a}, but this autoseg reads schema_version 2. "
        f"{advice} the file and run `autoseg plan DATASET` again."
    )


def test_a_document_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "fingerprint.json"
    document = small_volumes(num_cases=3)
    path.write_text(store.to_json_text(document), encoding="utf-8-sig")
    assert store.load(Fingerprint, path) == document


def test_a_document_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "fingerprint.json"
    path.write_text(store.to_json_text(small_volumes(num_cases=3)), encoding="utf-16")
    with pytest.raises(DocumentError, match=r"not UTF-8 text. Save it as UTF-8"):
        store.load(Fingerprint, path)
