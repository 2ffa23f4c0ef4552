"""The OpenAPI 3.1 document of the API, built from the code's own tables."""

from worker import __version__
from worker.api.openapi import deliveries, webhooks
from worker.api.openapi.parts import INSTANCE, WEBHOOK, Json, operation, refusal
from worker.api.openapi.schemas import SCHEMAS

_TITLE = "Evolution API's webhook calls, answered by the webhook worker"

_ABOUT = """Every call but `/docs` and `/openapi.json` needs the header `apikey`: AUTHENTICATION_API_KEY, or, where
the worker reads Evolution's database, also for tokens alone, an instance's own, which reaches that instance only.
Instance names may hold any character; in a path they are percent-encoded. Each instance can have several webhooks: `id`
says which, `default` if it is left out. Header values, signing secrets and credentials in URLs are shown as `***`."""


def document() -> Json:
    """A new copy each time."""
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": __version__, "description": _ABOUT},
        "security": [{"apikey": []}],
        "paths": {
            "/webhook/instance": {
                "post": webhooks.setting("Set, instance in the body", "SetNamingInstance", [WEBHOOK])
            },
            "/webhook/set/{instance}": {"post": webhooks.setting("Set a webhook", "Set", [INSTANCE, WEBHOOK])},
            "/webhook/find/{instance}": {"get": webhooks.find()},
            "/webhook": {"get": webhooks.listing()},
            "/webhook/{instance}": {"delete": webhooks.delete()},
            "/webhook/test/{instance}": {"post": webhooks.test()},
            "/webhook/explain/{instance}": {"post": webhooks.explain()},
            "/history": {"get": deliveries.history()},
            "/history/{id}": {"get": deliveries.timeline()},
            "/history/{id}/body": {"get": deliveries.body()},
            "/history/{id}/resend": {"post": deliveries.resend()},
            "/replay": {"post": deliveries.replay(), "get": deliveries.replays()},
            "/replay/{job}": {"get": deliveries.replay_shown(), "delete": deliveries.replay_stopped()},
            "/webhook/pause/{instance}": {"post": webhooks.pause()},
            "/webhook/resume/{instance}": {"post": webhooks.resume()},
            "/openapi.json": {"get": _open("This document", "application/json")},
            "/docs": {"get": _open("This page", "text/html")},
        },
        "components": {
            "securitySchemes": {"apikey": {"type": "apiKey", "in": "header", "name": "apikey"}},
            "schemas": SCHEMAS,
            "responses": {name: refusal(text) for name, text in _REFUSALS.items()},
        },
    }


_REFUSALS = {
    "400": "What is wrong: one line a problem, with field, value and what is allowed",
    "401": "The header apikey is missing or wrong, or a token of another instance",
    "404": "No such webhook, delivery or path",
    "405": "No such method; the header Allow names those that exist",
    "408": "The body did not arrive in time",
    "409": "It cannot be done as things are (webhooks are changed elsewhere, say); the message says why",
    "413": "The body has more than 1 MiB",
    "415": "The body is not application/json",
    "500": "A stored webhook is damaged; the message says which, setting it again is the remedy",
    "503": "The webhook store cannot answer; the header Retry-After says when to try again",
}


def _open(summary: str, content_type: str) -> Json:
    good = {"200": {"description": summary, "content": {content_type: {}}}}
    return operation(summary, good, "405", security=[])
