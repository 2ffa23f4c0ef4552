"""Fixtures of the end-to-end tests, for a worker with traffic."""

from tests.e2e.conftest import publish, webhooks

__all__ = ["publish", "webhooks"]
