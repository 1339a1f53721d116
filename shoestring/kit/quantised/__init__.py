"""Modules that compute with integers: grids on edges, integer weights."""
