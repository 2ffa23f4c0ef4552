"""What a webhook's owner chose to hear: which events, how much of each, and for how long."""
