"""Text as the JSON that a body says it in."""

import json

import orjson


def json_text(text: str) -> bytes:
    try:
        return orjson.dumps(text)
    except orjson.JSONEncodeError:  # an unpaired surrogate, which only the standard library writes
        return json.dumps(text).encode()


def destination_member(destination: str) -> bytes:
    """With the comma before it."""
    return b',"destination":' + json_text(destination)
