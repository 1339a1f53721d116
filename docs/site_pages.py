"""Hooks that turn what lies in the repository into pages of the site.

The README, the notebook, links.
The Markdown in `docs/` is written to be read as it is too, so links lead to files as they lie in
the repository. The site has no folders and no files outside `docs/`, which is what most of this is
about.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import site_reference
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
ELSEWHERE = {"index": "README.md", "contributing": "CONTRIBUTING.md", "javascript": "web/README.md"}
"""Pages of the site whose text is a file outside `docs/`.

It comes before what the page itself holds.
"""
PLANNED = ("exchange-rates", "recipes")
"""Pages that have their place in `docs/index.md` and may be missing.

They are made from results files.
"""
_LINK = re.compile(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^)#\s]*)(#[^)\s]*)?\)")


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """The Markdown of a page, before it is parsed.

    Notebooks converted, other files put in, links set.
    """
    text = source[0]
    if (DOCS / f"{page}.ipynb").exists():
        text = notebook(json.loads(text))
    if page in ELSEWHERE:
        origin = ROOT / ELSEWHERE[page]
        text = relinked(origin.read_text(encoding="utf-8"), origin.parent) + "\n\n" + text
    for name in PLANNED:
        if not (DOCS / f"{name}.md").exists():
            text = text.replace(f"\n{name}\n", "\n")
    # Blocks of docs/format.md have names that its tests look for, and are in no language.
    text = re.sub(
        r"^```(base64|bits|entries|file4?|graph|lanes4|list|names4)$",
        "```text",
        text,
        flags=re.MULTILINE,
    )
    source[0] = relinked(text, DOCS) if page.split("/")[0] != "reference" else text


def relinked(text: str, folder: Path) -> str:
    """Links of a page that lies in `folder`, as they are from `docs/`.

    Folders, which no page is, as text.
    Raises FileNotFoundError for a link to a file that is not there.
    """
    pages = {(ROOT / path).resolve(): page for page, path in ELSEWHERE.items()}

    def link(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        path = (folder / target).resolve()
        if path in pages:
            return f"{label}({pages[path]}.md{anchor})"
        if path.is_dir():
            return label[1:-1]
        if not path.exists():
            raise FileNotFoundError(
                f"a page links to {target}, which is not in {folder}: {match[0]}"
            )
        return f"{label}({os.path.relpath(path, DOCS)}{anchor})"

    # Code is left alone: what looks like a link there is none.
    parts = re.split(r"(^```.*?^```$|`[^`\n]+`(?!\]))", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if i % 2 else _LINK.sub(link, part) for i, part in enumerate(parts))


def notebook(content: dict) -> str:
    """A notebook as Markdown: its text, its code, and what the code printed."""
    parts: list[str] = []
    for cell in content["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        language = (
            "text" if text.startswith("!") else "python"
        )  # a command of the shell is no Python
        parts.append(f"```{language}\n{text}\n```")
        printed = "".join("".join(out.get("text", [])) for out in cell["outputs"])
        if printed:
            parts.append(f"```{{code-block}} text\n:class: printed\n\n{printed.rstrip()}\n```")
        tables = [out["data"].get("text/html", []) for out in cell["outputs"] if "data" in out]
        parts += [f"```{{raw}} html\n{''.join(table)}\n```" for table in tables if table]
    return "\n\n".join(parts) + "\n"


def link_names(app: Sphinx, tree: nodes.document) -> None:
    """Make links of `PostTraining(bits=4)`, where one public class alone has the name, and of
    `docs/meters.md`.
    """
    known = site_reference.classes()
    for literal in list(tree.findall(nodes.literal)):
        if isinstance(literal.parent, nodes.reference | addnodes.pending_xref):
            continue
        text = literal.astext()
        if page := re.fullmatch(r"docs/([\w-]+)\.md", text):
            target = {
                "refdomain": "std",
                "reftype": "doc",
                "reftarget": f"/{page[1]}",
                "refexplicit": True,
            }
        elif (name := re.match(r"(?:\w+\.)*(\w+)", text)) and name[1] in known:
            target = {"refdomain": "py", "reftype": "obj", "reftarget": known[name[1]]}
        else:
            continue
        reference = addnodes.pending_xref("", refdoc=app.env.docname, refwarn=True, **target)
        literal.replace_self(reference)
        reference += literal


def setup(app: Sphinx) -> None:
    """Connect the hooks."""
    app.connect("source-read", read)
    app.connect("doctree-read", link_names)
