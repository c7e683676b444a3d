"""mkdocs hook that adds the notebooks of docs/notebooks to the site as pages, without outputs."""

import json
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

NOTEBOOKS = Path(__file__).parent / "notebooks"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add one page per notebook."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        uri = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, uri, content=as_markdown(path)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Turn links to notebook files, which work on GitHub, into links to their pages."""
    return markdown.replace("](../notebooks/", "](notebooks/").replace(".ipynb)", ".md)")


def as_markdown(path: Path) -> str:
    """Return the cells of a notebook as Markdown, the code as Python blocks."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [
        "".join(cell["source"])
        if cell["cell_type"] == "markdown"
        else "```python\n" + "".join(cell["source"]) + "\n```"
        for cell in cells
    ]
    return "\n\n".join(texts).replace("](../pages/", "](../")
