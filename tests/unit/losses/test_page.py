"""The page about losses lists what there is, with the settings that they have."""

from pathlib import Path

import pytest

from autoseg.losses import LOSSES

PAGE = Path(__file__).parents[3] / "docs" / "pages" / "losses.md"
COMMON = {"kind", "pool", "class_weights"}
SMOOTH = 1e-5


def settings_column(kind: str) -> str:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{kind}` | ")]
    assert len(rows) == 1, f"one row about {kind}"
    return rows[0].split("|")[3]


def written(default: object) -> str:
    match default:
        case None:
            return "none"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:.4g}"
        case _:
            return str(default)


@pytest.mark.parametrize("kind", list(LOSSES))
def test_every_loss_is_listed_with_the_defaults_of_its_settings(kind: str) -> None:
    expected = {
        f"`{name}` {written(field.default)}"
        for name, field in LOSSES[kind].model_fields.items()
        if name not in COMMON and (name, field.default) != ("smooth", SMOOTH)
    }
    column = settings_column(kind).strip()
    assert set(filter(None, column.split(", "))) == expected
