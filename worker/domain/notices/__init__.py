"""Notices: what the worker itself tells the people behind a webhook, and the forms in which they hear it."""
