"""C for hashed n-grams: ids of a text that comes in pieces."""

from __future__ import annotations

from shoestring.artifact.chains.hashed_ngrams import HashedNgrams
from shoestring.artifact.plain_c.c_text import filled


def functions(step: HashedNgrams, prefix: str) -> str:
    """`PREFIX_begin` and `PREFIX_feed`, which write ids to `PREFIX_features`."""
    lengths = "".join(f"    {prefix}_ngram({length});\n" for length in step.lengths)
    return filled(
        _TEXT,
        P=prefix,
        LONGEST=str(max(step.lengths)),
        LENGTHS=lengths,
        BUCKETS=str(step.buckets),
        MOST=str(step.most),
    )


_TEXT = """\
/* The last bytes of the text, from the first that begins no n-gram yet. */
static uint8_t @P@_bytes[@LONGEST@];

/* The id of an n-gram, where there are as many bytes: FNV-1a. */
static void @P@_ngram(uint32_t length)
{
    uint32_t hash = UINT32_C(2166136261), i;
    if (length > @P@_waiting || @P@_filled == @MOST@) {
        return;
    }
    for (i = 0; i < length; i++) {
        hash = (hash ^ @P@_bytes[i]) * UINT32_C(16777619);
    }
    @P@_features.at[@P@_filled++] = (int32_t)(1 + hash % @BUCKETS@u);
}

/* The n-grams that begin at the first byte, which goes. */
static void @P@_ngrams(void)
{
    uint32_t i;
@LENGTHS@    @P@_waiting--;
    for (i = 0; i < @P@_waiting; i++) {
        @P@_bytes[i] = @P@_bytes[i + 1];
    }
}

void @P@_begin(void)
{
    @P@_filled = 0;
    @P@_waiting = 0;
}

void @P@_feed(const char *text, uint32_t count)
{
    while (count-- && @P@_filled < @MOST@) {
        uint8_t byte = (uint8_t)*text++;
        @P@_bytes[@P@_waiting++] = byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
        if (@P@_waiting == @LONGEST@) {
            @P@_ngrams();
        }
    }
}
"""
FINISH = """\
    while (@P@_waiting) {
        @P@_ngrams();
    }
    while (@P@_filled < @FEATURES@) {
        @P@_features.at[@P@_filled++] = 0;
    }
"""
