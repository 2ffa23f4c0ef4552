"""Fixtures of the end-to-end tests, for a worker with traffic."""

from tests.e2e.conftest import proxy, publish, webhooks

__all__ = ["proxy", "publish", "webhooks"]
