"""Training as a value, the training loop, and tasks made of data."""
