"""Writes a file as one C99 file for a microcontroller: no malloc, no library, static buffers."""

from shoestring.artifact.plain_c.coded_weights import Coded
from shoestring.artifact.plain_c.errors import NoPlainC
from shoestring.artifact.plain_c.export import CFile, export_c, written_from
from shoestring.artifact.plain_c.weight_source import Decoded, Packed

__all__ = ["CFile", "Coded", "Decoded", "NoPlainC", "Packed", "export_c", "written_from"]
