"""Corpora in files: sentences with tagged words, and the error of data that cannot be had."""
