"""Tests of two directions that teach one another."""
