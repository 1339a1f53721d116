"""Entropy coding: integer tables, the context model for matrices, and its fast loops."""
