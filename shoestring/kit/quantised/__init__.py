"""Modules that compute with integers: activations on grids, weights on grids of their own."""
