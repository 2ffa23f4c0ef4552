"""`webhook-worker doctor`: examines an installation and says what to do. Nothing is changed anywhere.

`examination` asks; the other modules judge what was answered, as functions without I/O.
"""
