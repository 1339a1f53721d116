"""Pieces of C: names, numbers, arrays and comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from shoestring.artifact.plain_c.building import float_literal

_WORDS = (
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch "
    "typedef union unsigned void volatile while _Bool _Complex _Imaginary asm typeof and "
    "and_eq bitand bitor bool catch class compl const_cast delete dynamic_cast explicit "
    "export false friend mutable namespace new not not_eq operator or or_eq private protected "
    "public reinterpret_cast static_cast template this throw true try typeid typename using "
    "virtual wchar_t xor xor_eq alignas alignof char16_t char32_t constexpr decltype noexcept "
    "nullptr static_assert thread_local main errno signal int8_t int16_t int32_t int64_t "
    "uint8_t uint16_t uint32_t uint64_t size_t ptrdiff_t NULL NAN INFINITY memcpy memset "
    "memmove sinf cosf expf logf powf sqrtf tanhf erff floorf ceilf arena reader "
    "INPUT OUTPUT INPUT_PULLUP HIGH LOW PI HALF_PI TWO_PI DEG_TO_RAD RAD_TO_DEG EULER SERIAL "
    "DISPLAY LSBFIRST MSBFIRST CHANGE FALLING RISING DEFAULT EXTERNAL INTERNAL DEC HEX OCT BIN"
)
RESERVED = frozenset(re.split(r"\s+", _WORDS))
"""Words that no name of ours is: C's, C++'s and Arduino's, and those that the file uses itself."""
_LONGEST_NAME = 40


def identifier(text: str, taken: Iterable[str] = (), fallback: str = "model") -> str:
    """A text as a C identifier that is no word of C or C++ and not in `taken`, in any case.

    Other characters than ASCII letters, digits and underscores become underscores.
    """
    name = re.sub(r"[^A-Za-z0-9_]+", "_", text)[:_LONGEST_NAME].strip("_")
    if not name:
        name = fallback
    if name[0].isdigit():
        name = f"{fallback}_{name}"
    words = {one.lower() for one in taken}  # macros are the same names in capital letters
    while name in RESERVED or name.lower() in words:
        name += "_"
    return name


def comment(lines: Sequence[str]) -> str:
    """Lines as a C comment that no text in them can end."""
    safe = [plain(line) for line in lines]
    if len(safe) == 1:
        return f"/* {safe[0]} */\n"
    return "/* " + "\n".join(f" * {line}".rstrip() for line in safe)[3:] + "\n */\n"


def plain(text: str) -> str:
    """A text as printable ASCII that neither ends a comment nor is a trigraph."""
    ascii_text = text.replace("×", "x").encode("ascii", "backslashreplace").decode()
    line = "".join(c if c.isprintable() else "?" for c in ascii_text)
    return (
        line.replace("*/", "* /")
        .replace("/*", "/ *")
        .replace("??", "? ?")
        .replace("??", "? ?")
        .rstrip("\\")
    )


def array(kind: str, name: str, numbers: np.ndarray, place: str = "FLASH ") -> str:
    """A constant array at file scope; `place`: a qualifier, with a space, or nothing."""
    flat = numbers.reshape(-1)
    if kind == "float":
        words, width = [float_literal(float(one)) for one in flat], 8
    else:
        words, width = [str(int(one)) for one in flat], 20
    lines = [
        " ".join(f"{w}," for w in words[at : at + width]) for at in range(0, len(words), width)
    ]
    body = "\n    ".join(lines) or "0"
    return f"static const {place}{kind} {name}[] = {{\n    {body}\n}};\n"


def indented(lines: Iterable[str], depth: int = 1) -> list[str]:
    """Lines of C further to the right, by four spaces for each depth."""
    return [f"{'    ' * depth}{line}" for line in lines]


def filled(template: str, **words: str) -> str:
    """A template with its words in place of `@WORD@`."""
    return re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], template)


def integer_kind(low: int, high: int) -> str:
    """The smallest C type that holds these integers."""
    for kind, least, most in (
        ("uint8_t", 0, 255),
        ("int8_t", -128, 127),
        ("uint16_t", 0, 65535),
        ("int16_t", -32768, 32767),
        ("uint32_t", 0, 2**32 - 1),
    ):
        if least <= low and high <= most:
            return kind
    return "int32_t"
