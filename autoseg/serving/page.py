"""A page that lists the endpoints; it loads nothing from elsewhere."""

from html import escape
from typing import Any

HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><title>autoseg serve</title>
<style>body{font:16px/1.5 system-ui;max-width:60em;margin:2em auto;padding:0 1em}
code{background:#8882;padding:.1em .3em}dt{margin-top:1em}</style>
<h1>autoseg serve</h1>
<p>Requests need the header <code>Authorization: Bearer TOKEN</code>. The whole description is
<a href="/openapi.json">openapi.json</a>.</p><dl>"""


def page(schema: dict[str, Any]) -> str:
    """Return the page of an OpenAPI schema."""
    parts = [HEAD]
    for path, methods in schema["paths"].items():
        for method, about in methods.items():
            parameters = [
                f"<br><code>?{escape(each['name'])}</code> {escape(each.get('description', ''))}"
                for each in about.get("parameters", ())
                if each["in"] == "query"
            ]
            parts.append(
                f"<dt><code>{escape(method.upper())} {escape(path)}</code></dt>"
                f"<dd>{escape(about.get('description', ''))}{''.join(parameters)}</dd>"
            )
    return "".join([*parts, "</dl></html>"])
