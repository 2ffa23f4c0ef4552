"""What doctor and check say of the archive of events, and of the webhooks that are paused and need it."""
