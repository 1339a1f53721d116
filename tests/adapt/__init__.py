"""Tests of few examples, of several tasks on one body, and of what is forgotten."""
