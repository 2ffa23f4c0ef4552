"""The pure core: no I/O, no clock, no chance, no logging. Everything here is decided from its arguments."""
