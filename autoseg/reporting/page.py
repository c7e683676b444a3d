"""Render a report as one HTML file that needs no network."""

import json
from dataclasses import asdict
from pathlib import Path

from autoseg.core.atomic_write import atomic_write
from autoseg.core.formatting import printable
from autoseg.reporting.blocks import Block, Page

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"


def save_page(page: Page, path: Path) -> None:
    """Write a report as an HTML file; an existing file is replaced."""
    with atomic_write(path) as temporary:
        temporary.write_text(render(page), encoding="utf-8")


def render(page: Page) -> str:
    """Return the HTML of a report, with all styles, scripts and pictures in it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["script_json"] = _script_json
    environment.filters["printable"] = printable
    files = {
        name: (STATIC / name).read_text(encoding="utf-8")
        for name in ("report.css", "report.js", "echarts.min.js")
    }
    has_charts = any(block.kind == "chart" for section in page.sections for block in section.blocks)
    return environment.get_template("page.html.jinja").render(
        page=page,
        style=files["report.css"],
        script=files["report.js"],
        chart_library=files["echarts.min.js"] if has_charts else "",
    )


def _script_json(block: Block) -> str:
    """Return a block as JSON that no text in it can end the surrounding script element."""
    text = json.dumps(asdict(block), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
