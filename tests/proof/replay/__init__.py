"""Replays at full size, with the process that replays killed on the way."""
