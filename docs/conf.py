"""What Sphinx is told: the extensions, the theme; `site_pages` and `site_reference` are ours."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

project = "Shoestring"
author = "the authors of Shoestring"
version = release = import_module("shoestring").__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "site_pages", "site_reference"]
source_suffix = {".md": "markdown", ".ipynb": "markdown", ".rst": "restructuredtext"}
exclude_patterns: list[str] = []

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

default_role = "code"  # single backticks in docstrings, as in Markdown
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
toc_object_entries = False  # each public name has a heading of its own
# Types in signatures are not all in the reference; what a page refers to by hand has to be.
nitpick_ignore_regex = [("py:class", ".*")]

html_theme = "furo"
html_title = "Shoestring"
html_show_copyright = False
html_static_path = ["site_static"]
html_css_files = ["shoestring.css"]
html_copy_source = False
html_show_search_summary = (
    False  # it would be fetched, which a page that is read from a disk cannot do
)
html_theme_options = {"navigation_with_keys": False}
pygments_style = "friendly"
highlight_language = (
    "text"  # of what names no language: what is typed in a shell, and what is printed
)
