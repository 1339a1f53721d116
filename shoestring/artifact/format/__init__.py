"""The `.shoe` format: graph, tensors, names and axes, written and read."""
