"""What a model computes on an example: its calls, its tape, and torch's exporter."""
