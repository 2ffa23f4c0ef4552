"""A filter read slowly, straight from docs/filters.md: what the compiled one is compared with."""

import re
from typing import Any

ABSENT = object()


def passes(event: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether an event (as json.loads gives it) meets a valid filter."""
    data = event.get("data", ABSENT)
    if isinstance(data, list) and data:
        return any(holds({**event, "data": [] if isinstance(item, list) else item}, [], document) for item in data)
    return holds(event, [], document)


def holds(event: dict[str, Any], path: list[str], document: dict[str, Any]) -> bool:
    return all(member(event, path, key, value) for key, value in document.items())


def member(event: dict[str, Any], path: list[str], key: str, value: Any) -> bool:
    if key == "$and":
        return all(holds(event, path, item) for item in value)
    if key == "$or":
        return any(holds(event, path, item) for item in value)
    if key == "$not":
        return not holds(event, path, value)
    if key.startswith("$"):
        return condition(event, path, key, value)
    below = path + [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", key)]
    if isinstance(value, dict):
        return holds(event, below, value)
    return condition(event, below, "$eq", value)


def condition(event: dict[str, Any], path: list[str], operator: str, operand: Any) -> bool:
    ends = ends_of(event, path)
    if operator == "$exist":
        return bool(ends) is operand
    values = [value for end in ends for value in (end if isinstance(end, list) else [end])]
    return any(asked(value, operator, operand) for value in values or [ABSENT])


def ends_of(value: Any, path: list[str]) -> list[Any]:
    found = [value]
    for key in path:
        objects = [item for holder in found for item in (holder if isinstance(holder, list) else [holder])]
        found = [item[key] for item in objects if isinstance(item, dict) and key in item]
    return found


def asked(value: Any, operator: str, operand: Any) -> bool:
    match operator:
        case "$eq":
            return same(value, operand)
        case "$ne":
            return not same(value, operand)
        case "$in":
            return any(same(value, item) for item in operand)
        case "$nin":
            return not any(same(value, item) for item in operand)
        case "$startsWith":
            return isinstance(value, str) and value.startswith(operand)
        case "$endsWith":
            return isinstance(value, str) and value.endswith(operand)
        case "$contains":
            return isinstance(value, str) and operand in value
    if kind(value) != kind(operand):
        return False
    return {"$gt": value > operand, "$gte": value >= operand, "$lt": value < operand, "$lte": value <= operand}[
        operator
    ]


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


def same(value: Any, operand: Any) -> bool:
    return kind(value) == kind(operand) and value == operand
