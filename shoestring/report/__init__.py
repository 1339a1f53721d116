"""The report: a study, a file or a ledger as one page that a browser shows.

A lone file and a ledger need only the base install.
"""
