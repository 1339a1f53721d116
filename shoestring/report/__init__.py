"""The report: a search, a file or a ledger as one page that a browser shows.

A lone file and a ledger need only the base install.
"""

from shoestring.report.document import Document
from shoestring.report.finding import document_of, newest_study, with_name
from shoestring.report.page import check_target, page_of, place_beside, save_page
from shoestring.report.writing import write_report

__all__ = [
    "Document",
    "check_target",
    "document_of",
    "newest_study",
    "page_of",
    "place_beside",
    "save_page",
    "with_name",
    "write_report",
]
