"""Sequences that a network writes one item after the other: greedy, by beam and by sampling."""
