"""Vectors of words in fewer numbers than one vector a word, and the softmax over many words."""
