"""What a migration of a database can meet, for whoever runs one and whoever tells of it."""

LOCK_SECONDS = 30


class LockTimeout(Exception):
    """Another process held the migration lock for LOCK_SECONDS."""


class NewerSchema(Exception):
    """The schema was made by a newer version of the worker; its number is the text."""
