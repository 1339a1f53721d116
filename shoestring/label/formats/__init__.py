"""Data in and out: examples and labels in the formats of other tools."""

from shoestring.label.formats.arrow import Arrow
from shoestring.label.formats.coco import Coco
from shoestring.label.formats.conllu import Conllu
from shoestring.label.formats.format import Format, FormatError
from shoestring.label.formats.json_lines import JsonLines
from shoestring.label.formats.label_studio import LabelStudio
from shoestring.label.formats.label_studio_tasks import labelling_config
from shoestring.label.formats.picture_folder import PictureFolder
from shoestring.label.formats.reading import format_of, read, write
from shoestring.label.formats.table import Table
from shoestring.label.formats.voc import Voc

__all__ = [
    "Arrow",
    "Coco",
    "Conllu",
    "Format",
    "FormatError",
    "JsonLines",
    "LabelStudio",
    "PictureFolder",
    "Table",
    "Voc",
    "format_of",
    "labelling_config",
    "read",
    "write",
]
