"""The error of data that cannot be had, or are not what they should be."""


class DataError(OSError):
    """A data set cannot be had, or its content is wrong; the message says how to get it."""
