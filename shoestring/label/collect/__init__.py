"""A page to label with: choices, spans and boxes, kept in a file that loses none."""

from shoestring.label.collect.agreement import Agreement, agreements
from shoestring.label.collect.answer import Answer, AnswerError, annotated
from shoestring.label.collect.background import Learned, Suggestion
from shoestring.label.collect.project import Project
from shoestring.label.collect.store import Point, Store

__all__ = [
    "Agreement",
    "Answer",
    "AnswerError",
    "Learned",
    "Point",
    "Project",
    "Store",
    "Suggestion",
    "agreements",
    "annotated",
]
