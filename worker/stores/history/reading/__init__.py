"""What is asked of the history's rows: searches, one delivery's time line, how the last hour went."""
