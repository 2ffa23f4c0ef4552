"""The console on made traffic, for whoever works on it (`make console`) and for its pictures."""
