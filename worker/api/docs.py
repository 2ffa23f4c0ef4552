"""The OpenAPI document as one page for people: no script, nothing fetched from anywhere."""

import json
from html import escape
from string import Template
from typing import Any

Json = dict[str, Any]

_EXAMPLE = """curl -X POST "$WORKER/webhook/set/acme" -H "apikey: $KEY" -H "content-type: application/json" \\
  -d '{"webhook": {"enabled": true, "url": "https://hooks.example/evolution", "events": ["MESSAGES_UPSERT"]}}'

curl "$WORKER/webhook/find/acme" -H "apikey: $KEY"
curl -X POST "$WORKER/webhook/test/acme" -H "apikey: $KEY"
curl -X DELETE "$WORKER/webhook/acme" -H "apikey: $KEY\""""

_PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
code, pre { font: 14px/1.45 ui-monospace, monospace; background: #f4f4f4; border-radius: 3px }
code { padding: 0 .2em } pre { padding: .8em; overflow-x: auto }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd } h2 b { color: #06c }
table { border-collapse: collapse } td { padding: .15rem .8rem .15rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } code, pre { background: #282828 } }
</style>
<h1>$title</h1>
$about
<pre>$example</pre>
$operations
<h2>Schemas</h2>
$schemas
""")


def page(document: Json) -> str:
    """HTML of the whole document."""
    operations = [
        _operation(method, path, operation, document)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return _PAGE.substitute(
        title=escape(document["info"]["title"]),
        about=_text(document["info"]["description"]),
        example=escape(_EXAMPLE),
        operations="\n".join(operations),
        schemas="\n".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items()),
    )


def _text(markdown: str) -> str:
    """Paragraphs, and `code`: all that our own descriptions use."""
    pieces = escape(markdown).split("`")
    marked = "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
    return "".join(f"<p>{paragraph}</p>" for paragraph in marked.split("\n\n"))


def _operation(method: str, path: str, operation: Json, document: Json) -> str:
    body = operation.get("requestBody")
    parts = [
        f"<h2><b>{method.upper()}</b> {escape(path)}</h2>",
        _text(f"{operation['summary']}. {operation.get('description', '')}"),
        _rows(
            [(item["name"], f"in the {item['in']}: {item['description']}") for item in operation.get("parameters", [])]
        ),
        f"<p>Body: {_reference(body['content'])}</p>" if body else "",
        _rows([(status, _answer(response, document)) for status, response in operation["responses"].items()]),
    ]
    return "\n".join(filter(None, parts))


def _rows(rows: list[tuple[str, str]]) -> str:
    cells = (f"<tr><td><code>{escape(name)}</code><td>{_text(text)}" for name, text in rows)
    return f"<table>{''.join(cells)}</table>" if rows else ""


def _answer(response: Json, document: Json) -> str:
    name = response.get("$ref", "").rpartition("/")[2]
    found = document["components"]["responses"][name] if name else response
    return str(found["description"])


def _reference(content: Json) -> str:
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return f'<a href="#{escape(name)}">{escape(name)}</a>'


def _schema(name: str, schema: Json) -> str:
    text = escape(json.dumps(schema, indent=1))
    return f'<details id="{escape(name)}"><summary>{escape(name)}</summary><pre>{text}</pre></details>'
