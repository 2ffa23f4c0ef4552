"""Values of the chart, drawn at random from values.schema.json.

Not hypothesis-jsonschema: its last release is of 2024, and schemathesis, its largest user, has left it. The schema is
ours and uses a dozen keywords; one that is not known here raises, so that no rule of it is left out unseen.
"""

from __future__ import annotations

import json
from functools import cache, reduce
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import jsonschema
from hypothesis import strategies as st

from tests.deploy.chart import CHART, Values

Schema = dict[str, Any]

SCHEMA: Schema = json.loads((CHART / "values.schema.json").read_text())
_ASIDE = {"description", "title", "$schema", "definitions"}
_KNOWN = {"type", "properties", "required", "additionalProperties", "propertyNames", "minProperties", "items"}
_KNOWN |= {"minItems", "maxItems", "uniqueItems", "pattern", "minLength", "maxLength", "minimum", "maximum", "enum"}
_KNOWN |= {"oneOf", "allOf"}
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
"""Environment variables and files hold any character but this one."""


def _networks() -> st.SearchStrategy[str]:
    """Most as a server takes them, some with bits beyond the prefix or IPv4 written as IPv6."""
    mapped = st.ip_addresses(v=4).map(lambda address: str(ip_address((0xFFFF << 32) + int(address))) + "/128")
    drawn = st.tuples(st.ip_addresses(), st.integers(0, 32))
    right = drawn.map(lambda pair: str(ip_network(pair, strict=False)))
    return st.one_of(right, right, right, drawn.map(lambda pair: str(ip_interface(pair))), mapped)


# What a pattern alone would hardly ever hit.
_OWN: dict[str, st.SearchStrategy[Any]] = {
    "network": _networks(),
    "address": st.one_of(_networks(), st.ip_addresses().map(str)),
}


def overlay() -> st.SearchStrategy[Values]:
    """A few top-level values as the schema has them, and at times null for one of them."""
    names = sorted(SCHEMA["properties"].keys() - {"global"})
    chosen = st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True)
    return chosen.flatmap(lambda some: st.fixed_dictionaries({name: _value(name) for name in some}))


@cache
def _value(name: str) -> st.SearchStrategy[Any]:
    of_schema = drawn(SCHEMA["properties"][name], partial=True)
    return st.one_of(*[of_schema] * 9, st.none())


def drawn(schema: Schema, *, partial: bool = False) -> st.SearchStrategy[Any]:
    """What the schema accepts. `partial`: required properties may be left out, the chart's defaults have them."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/definitions/")
        return _OWN[name] if name in _OWN else drawn(SCHEMA["definitions"][name], partial=partial)
    assert schema.keys() <= _KNOWN | _ASIDE, f"a keyword that is not drawn yet: {schema.keys() - _KNOWN - _ASIDE}"
    if "oneOf" in schema:
        return st.one_of([drawn(one) for one in schema["oneOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return st.one_of([_OF_KIND[kind](schema, partial) for kind in kinds])


def _text(schema: Schema, _: bool) -> st.SearchStrategy[str]:
    patterns = [schema["pattern"]] if "pattern" in schema else [part["pattern"] for part in schema.get("allOf", [])]
    if not patterns:
        return TEXT.filter(lambda text: schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", 100))
    strategy = st.from_regex(patterns[0], fullmatch=True)
    return strategy.filter(lambda text: _accepts(schema, text))


def _accepts(schema: Schema, text: str) -> bool:
    return jsonschema.Draft7Validator(schema).is_valid(text) and not text.endswith("\n")


def _whole(schema: Schema, _: bool) -> st.SearchStrategy[int]:
    return st.integers(schema.get("minimum"), schema.get("maximum"))


def _number(schema: Schema, _: bool) -> st.SearchStrategy[float]:
    """In thousandths: finer CPU than that has no meaning."""
    low, high = (int(schema.get(bound, default) * 1000) for bound, default in (("minimum", 0), ("maximum", 1e9)))
    return st.integers(low, high).map(lambda thousandths: thousandths / 1000)


def _array(schema: Schema, _: bool) -> st.SearchStrategy[list[Any]]:
    most = min(schema.get("maxItems", 3), 3)
    unique = json.dumps if schema.get("uniqueItems") else None
    return st.lists(drawn(schema["items"]), min_size=schema.get("minItems", 0), max_size=most, unique_by=unique)


def _object(schema: Schema, partial: bool) -> st.SearchStrategy[dict[str, Any]]:
    properties = {name: drawn(one, partial=partial) for name, one in schema.get("properties", {}).items()}
    required = set() if partial else set(schema.get("required", []))
    fixed = st.fixed_dictionaries(
        {name: one for name, one in properties.items() if name in required},
        optional={name: one for name, one in properties.items() if name not in required},
    )
    if schema.get("additionalProperties") not in (False, None):
        names = drawn({"type": "string", **schema.get("propertyNames", {})})
        return st.dictionaries(names, drawn(schema["additionalProperties"]), max_size=3)
    return fixed.filter(lambda found: len(found) >= schema.get("minProperties", 0))


_OF_KIND = {
    "string": _text,
    "integer": _whole,
    "number": _number,
    "boolean": lambda schema, partial: st.booleans(),
    "null": lambda schema, partial: st.none(),
    "array": _array,
    "object": _object,
}


def merged(*values: Values) -> Values:
    """Deep, later ones win: as Helm merges value files."""
    return reduce(_over, values, {})


def _over(below: Values, above: Values) -> Values:
    both = {name for name in below.keys() & above.keys() if isinstance(below[name], dict)}
    return below | above | {name: _over(below[name], above[name]) for name in both if isinstance(above[name], dict)}
