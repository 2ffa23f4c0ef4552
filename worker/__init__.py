"""Durable webhook delivery for Evolution API."""

__version__ = "0.1.0"
