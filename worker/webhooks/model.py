"""Moved to worker.configuration.model."""

from worker.configuration.model import InvalidWebhook, Problem, warnings, webhook_from

__all__ = ["InvalidWebhook", "Problem", "warnings", "webhook_from"]
