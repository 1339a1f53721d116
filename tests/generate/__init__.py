"""Tests of networks that make pictures, and of what the pictures are worth."""
