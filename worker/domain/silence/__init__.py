"""Whether an instance is silent: its habits, and what replicas hear of it."""
