"""What holds for every declared field, so that a declaration that does not fit fails by the field's name."""

import dataclasses
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from worker.basics.masking import MASK
from worker.domain.webhook import Webhook
from worker.stores.own.row import COLUMNS
from worker.stores.own.steps import STEPS, AddColumn
from worker.webhooks import checks
from worker.webhooks.accepted import accepted_type
from worker.webhooks.declaration import FIELDS, Field
from worker.webhooks.kind import Damaged
from worker.webhooks.scalars import Choice, Name, Text, Url

EXAMPLE = Path(__file__).parents[2] / "config" / "webhooks.example.toml"

NOTED = {
    *("disabled_reason", "disabled_at", "paused_at", "instance_id", "failing_since"),
    *("order_next", "order_switch_at", "resumed_at"),
}
"""Attributes of Webhook that the worker notes down itself, and nobody sets."""

FIRST_COLUMNS = {
    *("instance", "id", "url", "enabled", "events", "by_events", "base64", "headers", "secrets", "timeout_ms"),
    *("concurrency", "rate_limit", "disabled_reason", "revision", "created_at", "updated_at"),
}
"""Of the table that the first migration ever made."""

each_field = pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
ATTRIBUTES = {attribute.name: attribute for attribute in dataclasses.fields(Webhook)}


def test_every_attribute_of_a_webhook_is_declared_once_and_nothing_else_is() -> None:
    declared = Counter(name for field in FIELDS for name in (field.name, field.beside) if name)
    assert declared == Counter(ATTRIBUTES.keys() - NOTED)


def test_every_column_that_came_later_has_its_step() -> None:
    added = Counter(step.name for step in STEPS if isinstance(step, AddColumn) and not step.of_revisions)
    assert added == Counter(set(COLUMNS) - FIRST_COLUMNS)


@each_field
def test_only_a_column_of_the_first_table_is_without_null(field: Field) -> None:
    assert not field.since_first or field.name in FIRST_COLUMNS


@each_field
def test_what_may_hold_a_secret_is_in_no_repr(field: Field) -> None:
    assert ATTRIBUTES[field.name].repr is not field.hidden


@each_field
def test_the_default_survives_each_of_its_forms(field: Field) -> None:
    if field.required or field.default is None:
        return
    value = field.value_in(Webhook("acme", "https://h.example/"))
    assert field.kind.read(field.kind.stored(value)) == value
    assert field.kind.value(field.kind.plain(value)) == value


@each_field
def test_a_sealed_column_holds_json(field: Field) -> None:
    """Text that is not JSON could begin as a sealed one does."""
    assert not (field.secret and isinstance(field.kind, (Name, Url, Choice)))


@each_field
def test_every_kind_has_a_type_that_checks_it(field: Field) -> None:
    assert accepted_type(field.kind) is not None
    assert field.help


def test_no_spelling_means_two_fields() -> None:
    spelled = Counter(spelling for field in FIELDS for spelling in field.spellings)
    assert max(spelled.values()) == 1, spelled


def test_a_field_of_several_words_is_taken_in_camel_case_too() -> None:
    assert {"timeoutMs", "rateLimit"} <= {spelling for field in FIELDS for spelling in field.spellings}


@each_field
def test_the_example_file_names_it(field: Field) -> None:
    tables = tomllib.loads(EXAMPLE.read_text())["webhook"]
    assert any(field.name in table for table in tables)


def test_a_choice_is_one_of_its_words() -> None:
    kind = Choice(("none", "chat"))
    assert kind.read(kind.stored("chat")) == "chat"
    assert kind.placeholder() == "none|chat"
    assert kind.schema() == {"type": "string", "enum": ["none", "chat"]}
    for stored in ("caht", "", 1, None):
        with pytest.raises(Damaged):
            kind.read(stored)


def test_a_secret_text_is_json_in_its_column_and_is_shown_as_a_mask() -> None:
    kind = Text(10, checks.storable_text)
    assert kind.stored("sealed:1:") == '"sealed:1:"'
    assert kind.read(kind.stored("abc")) == "abc"
    assert (kind.masked("abc"), kind.masked("")) == (MASK, "")
    assert (kind.unmasked(MASK, "abc"), kind.unmasked("new", "abc")) == ("abc", "new")
    assert [path for path, _ in kind.masks_left(MASK)] == [""]
    assert not [*kind.masks_left("abc")]
    with pytest.raises(Damaged):
        kind.read("[1]")
