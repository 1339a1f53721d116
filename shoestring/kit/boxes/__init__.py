"""Boxes in pictures: how they are kept, dense maps of their centres, decoding, and the score."""
