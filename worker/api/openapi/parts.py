"""Parts that the calls of the document share: OpenAPI 3.1 objects."""

from typing import Any

Json = dict[str, Any]


def refusal(description: str) -> Json:
    return {"description": description, "content": content("Error")}


def content(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def operation(summary: str, good: Json, refusals: str, **more: Any) -> Json:
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in refusals.split()}
    return {"summary": summary, **more, "responses": {**good, **refused}}


def good(status: str, description: str, schema: str) -> Json:
    return {status: {"description": description, "content": content(schema)}}


def query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


NAME = {"type": "string", "minLength": 1}
INSTANCE = {"name": "instance", "in": "path", "required": True, "description": "The instance's name", "schema": NAME}
WEBHOOK = query("id", "Which of the instance's webhooks; `default` if left out", {"$ref": "#/components/schemas/Id"})
WITH_BODY = "400 401 408 409 413 415 500 503"
