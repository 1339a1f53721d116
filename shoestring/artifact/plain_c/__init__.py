"""Writes a file as one C99 file for a microcontroller: no malloc, no library, static buffers."""
