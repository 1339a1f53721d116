"""The numbers of the coder in lanes that `docs/format.md` fixes, for all who code with it."""

PRECISION = 12
TOTAL = 1 << PRECISION
"""The sum of the frequencies of a table."""
LOWEST = 1 << 16
"""The least state of a lane."""
SEGMENT_BITS = 12
SEGMENT = 1 << SEGMENT_BITS
"""How many symbols have one table; a multiple of the lanes."""
