"""The OpenAPI document as one page to read and search: no script, style or font of anybody else."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

_PAGE = Template(Path(__file__).with_name("docs.html").read_text())
_SCRIPT = Path(__file__).with_name("docs.js").read_text()
_BOUNDS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "up to {}",
    "exclusiveMaximum": "below {}",
}


def docs_page(document: Mapping[str, Any]) -> str:
    """The page as HTML. It names everything by the same words as the document."""
    calls: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            calls[operation["tags"][0]].append(_call(verb, path, operation))
    schemas = document["components"]["schemas"]
    return _PAGE.substitute(
        about=_prose(document["info"]["description"]),
        services="\n".join(f'<li><a href="#{name}">{name}</a>' for name in calls),
        calls="\n".join(_service(tag, calls[tag["name"]]) for tag in document["tags"]),
        messages="\n".join(_message(name, schema) for name, schema in schemas.items()),
        script=_SCRIPT,
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}",
    )


def _service(tag: Mapping[str, str], calls: Sequence[str]) -> str:
    name = tag["name"]
    return f'<section id="{name}">\n<h2>{name}</h2>\n{_prose(tag["description"])}\n{"".join(calls)}</section>'


def _call(verb: str, path: str, operation: Mapping[str, Any]) -> str:
    name = operation["operationId"]
    may = ", ".join(f"<code>{escape(word)}</code>" for word in operation["x-who-may"])
    parts = [_prose(operation.get("description", "")), f'<p class="quiet">Who may: {may}</p>']
    for place, heading in (("path", "In the path"), ("query", "In the query")):
        parameters = [one for one in operation.get("parameters", ()) if one["in"] == place]
        if parameters:
            rows = (_row(one["name"], one["schema"], needed=one.get("required", False)) for one in parameters)
            parts.append(_rows(heading, rows))
    if body := operation.get("requestBody"):
        parts.append(_body(body["content"]["application/json"]["schema"]))
    ((media_type, content),) = operation["responses"]["200"]["content"].items()
    parts.append(f"<h4>Answer</h4>\n<p>{_answer(media_type, content)}</p>")
    shown = f'<b>{verb.upper()}</b> <code>{escape(path)}</code> <span class="name">{name.partition("_")[2]}</span>'
    return f'<details id="{name}"><summary>{shown}</summary>\n{"".join(parts)}</details>\n'


def _body(schema: Mapping[str, Any]) -> str:
    if "properties" not in schema:
        return f"<h4>Body</h4>\n<p>{_type(schema)}</p>"
    return _rows("Body", _fields(schema)) + _prose(schema.get("description", ""))


def _answer(media_type: str, content: Mapping[str, Any]) -> str:
    if media_type == "application/json":
        return _type(content["schema"])
    if media_type == "text/event-stream":
        event = content["schema"]["properties"]["data"]["contentSchema"]
        return f"a stream of events (<code>{media_type}</code>), each {_type(event)}"
    return "a file or page"


def _message(name: str, schema: Mapping[str, Any]) -> str:
    package, short = _split(name)
    summary = f'<code>{short}</code> <span class="name">{package}</span>'
    content = _prose(schema.get("description", "")) + _rows("", _fields(schema))
    return f'<details id="{name}"><summary>{summary}</summary>\n{content}</details>'


def _split(name: str) -> tuple[str, str]:
    """Package and the name in it: those of messages begin with a capital."""
    found = re.match(r"((?:[a-z0-9_]+\.)*)(.*)", name)
    return (found[1].rstrip("."), found[2]) if found else ("", name)


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, value in schema.get("properties", {}).items():
        yield _row(name, value, needed=name in schema.get("required", ()))


def _rows(heading: str, rows: Iterator[str]) -> str:
    return (f"<h4>{heading}</h4>\n" if heading else "") + f"<dl>{''.join(rows)}</dl>\n"


def _row(name: str, schema: Mapping[str, Any], *, needed: bool) -> str:
    mark = ' <span class="quiet">required</span>' if needed else ""
    kind = f'<p class="quiet">{_type(schema)}</p>'
    return f"<div><dt><code>{name}</code>{mark}</dt><dd>{kind}{_prose(schema.get('description', ''))}</dd></div>"


def _type(schema: Mapping[str, Any]) -> str:
    """In a few words, with the bounds."""
    if "anyOf" in schema:
        return f"{_type(schema['anyOf'][1])}, or nothing"
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{_split(name)[1]}</a>'
    if "enum" in schema:
        return "one of " + ", ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    kind = schema.get("type", "anything")
    words = [kind if isinstance(kind, str) else " or ".join(kind)]
    if kind == "array":
        words = [f"list of {_type(schema['items'])}"]
    elif "additionalProperties" in schema:
        words = [f"map to {_type(schema['additionalProperties'])}"]
    words += [schema["format"]] if "format" in schema else []
    words += [text.format(schema[keyword]) for keyword, text in _BOUNDS.items() if keyword in schema]
    return ", ".join(words)


def _prose(text: str) -> str:
    """Paragraphs, lists and code of a comment."""
    return "".join(_paragraph(part) for part in text.split("\n\n") if part)


def _paragraph(text: str) -> str:
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    if not shown.startswith("- "):
        return f"<p>{shown}</p>"
    items = "".join(f"<li>{line.removeprefix('- ')}" for line in shown.splitlines())
    return f"<ul>{items}</ul>"
