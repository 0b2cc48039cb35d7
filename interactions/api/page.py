"""The page for people: the OpenAPI document as HTML, without scripts."""

from __future__ import annotations

import json
from functools import cache
from html import escape
from typing import Any

from interactions.api.problems import CATALOGUE

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --mark: #7c5cff; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 2rem 1rem 6rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem 1rem; border-radius: .4rem; overflow-x: auto; }
section { margin: 1.5rem 0; padding: .25rem 1rem 1rem; border: 1px solid var(--line); border-radius: .5rem; }
.verb { display: inline-block; min-width: 4rem; color: var(--mark); font-weight: 700; }
.note { opacity: .75; } td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0; }
:target { outline: 2px solid var(--mark); outline-offset: .2rem; } summary { cursor: pointer; }
"""


@cache
def page(raw: bytes) -> bytes:
    """The page of an OpenAPI document."""
    document: dict[str, Any] = json.loads(raw)
    info = document["info"]
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])}</h1><p class='note'>Version {escape(info['version'])} · ",
        "<a href='openapi.json'>OpenAPI document</a> · <a href='#problems'>Problems</a></p>",
        *(f"<p>{escape(text)}</p>" for text in info["description"].split("\n\n")),
    ]
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>")
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if isinstance(operation, dict) and tag["name"] in operation.get("tags", ()):
                    parts.append(_operation(document, path, method, operation))
    parts.append("<h2 id='problems'>Problems</h2><p>Whatever can't be done is said as application/problem+json.</p>")
    parts.append("<table><tr><th>Status</th><th>Type</th><th>Title</th></tr>")
    for name, entry in CATALOGUE.items():
        cells = f"<td>{entry.status}</td><td><code>#{name}</code></td><td>{escape(entry.title)}</td>"
        parts.append(f"<tr id='{name}'>{cells}</tr>")
    parts.append("</table></html>")
    return "".join(parts).encode()


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    scope = operation.get("x-scope")
    lines = [
        f"<section id='{escape(operation['operationId'])}'><h3><span class='verb'>{method.upper()}</span> ",
        f"<code>{escape(path)}</code></h3><p>{escape(operation['summary'])}</p>",
        f"<p>{escape(operation['description'])}</p>" if "description" in operation else "",
        f"<p class='note'>Scope: <code>{escape(scope)}</code></p>" if scope else "<p class='note'>No key needed.</p>",
    ]
    rows = [_parameter(_found(document, each)) for each in operation.get("parameters", ())]
    if rows:
        lines.append(f"<table>{''.join(rows)}</table>")
    content = operation.get("requestBody", {}).get("content", {})
    lines += [_example("Request", media) for media in content.values()]
    for status, response in operation["responses"].items():
        for media in _found(document, response).get("content", {}).values():
            if status < "300":
                lines.append(_example(f"Answer {status}", media))
    return "".join((*lines, "</section>"))


def _parameter(parameter: dict[str, Any]) -> str:
    needed = "needed" if parameter.get("required") else "optional"
    name, text = escape(parameter["name"]), escape(parameter.get("description", ""))
    return f"<tr><td><code>{name}</code></td><td>{parameter['in']}, {needed}</td><td>{text}</td></tr>"


def _example(title: str, media: dict[str, Any]) -> str:
    examples = [media["example"]] if "example" in media else []
    shown = "".join(
        f"<pre>{escape(each if isinstance(each, str) else json.dumps(each, indent=2, ensure_ascii=False))}</pre>"
        for each in examples
    )
    return f"<details><summary>{escape(title)}</summary>{shown}</details>" if shown else ""


def _found(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """``value``, or what it refers to."""
    if "$ref" not in value:
        return value
    found: Any = document
    for name in value["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)
