"""Writing and reading the `.shoe` format: its graphs, tensors, names and axes."""
