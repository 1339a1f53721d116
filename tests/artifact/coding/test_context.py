"""Whole numbers in context.

The model that docs/format.md states, at any speed, and that it is worth having.
"""

import tracemalloc
import zlib
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_context import POINTS, Slow, first_frequency, squash, stretch
from test_entropy import SlowDecoder
from tiers import repetitions

from shoestring.artifact.coding import context, context_loop, entropy, work
from shoestring.artifact.coding import matrices as context_coding
from shoestring.artifact.coding.context import REACH, SQUASH, STRETCH, Choice
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.wire import Reader, ShoeError, Writer

quiet = settings(derandomize=True, database=None, deadline=None, max_examples=repetitions(20, 100))
rng = np.random.default_rng


# -- the tables


def test_squash_rises_and_mirrors():
    assert len(SQUASH) == 2 * REACH + 1
    assert (np.diff(SQUASH) >= 0).all()
    assert SQUASH[0] == 1
    assert SQUASH[-1] == 65535
    # Straight lines are rounded upwards where they fall in the middle: there, and only there, the
    # mirror is off by one.
    off = SQUASH + SQUASH[::-1] - 65536
    assert set(off.tolist()) <= {0, 1}
    assert (off[::128] == 0).all()
    assert SQUASH.tolist() == [squash(x) for x in range(-REACH, REACH + 1)]
    assert SQUASH[::128].tolist() == POINTS


def test_stretch_is_the_least_inverse():
    assert len(STRETCH) == 65536
    assert (SQUASH[STRETCH + REACH] >= np.arange(65536)).all()
    above = STRETCH > -REACH
    assert (SQUASH[STRETCH[above] + REACH - 1] < np.arange(65536)[above]).all()
    assert STRETCH[[0, 1, 2, 32768, 65535]].tolist() == [
        -2816,
        -2816,
        stretch(2),
        0,
        stretch(65535),
    ]


@pytest.mark.parametrize(
    ("table", "checksum"),
    [
        (SQUASH.astype("<i4").tobytes(), 0xCCF098B7),
        (STRETCH.astype("<i4").tobytes(), 0xE9F5ADF3),
        (DICTIONARY, 0xCB98F388),
    ],
)
def test_tables_never_change(table, checksum):
    assert zlib.crc32(table) == checksum


# -- round trips


@st.composite
def matrices(draw, most_digits=15):
    """(a choice, levels that it fits), of every order.

    Mostly small numbers, up to the largest that the digits allow.
    """
    rows, columns = draw(st.integers(1, 14)), draw(st.integers(1, 14))
    across = draw(st.booleans())
    width = 0 if across else draw(st.integers(0, columns))
    digits = draw(st.integers(1, most_digits))
    places = [draw(st.integers(0, most)) for most in (4, 3, 3, 1)]
    choice = Choice(places[0], across, width, places[1], places[2], places[3], digits)
    top = (1 << digits) - 1
    seed = rng(draw(st.integers(0, 1 << 32)))
    some = seed.choice(
        [0, 0, 1, -1, 2, -3, top, -top, *seed.integers(-top, top + 1, 4)], (rows, columns)
    )
    return choice, np.clip(some, -top, top).astype(np.int64)


def decoded(choice, shape, data):
    decoder = entropy.Decoder(data)
    found, bits = context_coding.decode(choice, *shape, decoder)
    assert decoder.finished()
    return found, bits


@quiet
@given(matrices())
def test_round_trip(drawn):
    choice, levels = drawn
    notes = context_coding.notes(choice, levels)
    assert notes.min() >= 0
    assert notes.max() < 1 << 17
    found, bits = decoded(choice, levels.shape, entropy.encode([(notes, None)]))
    assert np.array_equal(found, levels)
    assert (
        abs(bits - entropy.note_bits(notes)) < 33
    )  # what is left in the state, and the word that a stream begins with


@quiet
@given(matrices())
def test_the_description_round_trips(drawn):
    choice, levels = drawn
    for form in (0, 1, 2):
        out = Writer()
        context_coding.write(out, choice, form)
        reader = Reader(bytes(out), "test")
        assert context_coding.read(reader, levels.shape[1]) == (choice, form)
        reader.end()


def test_a_chance_of_nothing():
    """A node that has seen 65,536 zeros gives a one no chance but what the coder leaves to all."""
    levels = np.full((70, 1000), 2)
    levels[-1, -2:] = 3
    notes = context_coding.notes(Choice(0, digits=2), levels)
    assert (notes == 1).any()
    assert np.array_equal(
        decoded(Choice(0, digits=2), levels.shape, entropy.encode([(notes, None)]))[0], levels
    )


# -- the page's model


def slow_notes(choice, levels, largest=1 << 18):
    known = {(i, j): int(x) for (i, j), x in np.ndenumerate(levels.T if choice.across else levels)}
    found = []

    def note(chance, bit):
        found.append(2 * chance + bit)
        return bit

    model = slow(choice)
    matrix = model.run(*(levels.T if choice.across else levels).shape, note, known, largest)
    assert matrix == known
    return found


def slow(choice):
    order, _, width, strength, rate, share, digits = astuple(choice)
    return Slow(order, width, strength, rate, share, digits)


@quiet
@given(matrices())
def test_the_model_is_the_one_the_format_states(drawn):
    choice, levels = drawn
    assert context_coding.notes(choice, levels).tolist() == slow_notes(choice, levels)


@quiet
@given(matrices(), st.integers(1, 60))
def test_large_blocks_are_cut_as_the_format_states(drawn, largest):
    choice, levels = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "LARGEST_BLOCK", largest)
        assert context_coding.notes(choice, levels).tolist() == slow_notes(choice, levels, largest)


@quiet
@given(matrices(), st.binary(max_size=60))
def test_any_words_decode_as_the_format_states(drawn, noise):
    """Every decoder gives the same numbers for damaged streams too."""
    choice, levels = drawn
    data = noise[: len(noise) // 4 * 4] + b"\1\0\0\0"
    decoder, stream = entropy.Decoder(data), SlowDecoder(data)

    def take(chance, _):
        first = first_frequency(chance)
        return stream.decode([first, (1 << 24) - first], 1)[0]

    found, _ = context_coding.decode(choice, *levels.shape, decoder)
    known = slow(choice).run(*(levels.T if choice.across else levels).shape, take)
    matrix = found.T if choice.across else found
    assert {(i, j): int(x) for (i, j), x in np.ndenumerate(matrix)} == known
    assert decoder.finished() == (stream.state == 0 and not stream.words)
    assert decoder.position() == (len(stream.words), stream.state)


@quiet
@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 1)), max_size=200))
def test_bits_are_symbols_of_two(pairs):
    notes = np.array([2 * chance + bit for chance, bit in pairs], np.int64)
    data = entropy.encode([(notes, None)])
    decoder, stream = entropy.Decoder(data), SlowDecoder(data)
    bits = [bit for _, bit in pairs]
    assert decoder.bits(notes >> 1).tolist() == bits
    assert [
        stream.decode([first_frequency(p), (1 << 24) - first_frequency(p)], 1)[0] for p, _ in pairs
    ] == bits
    assert decoder.finished()


# -- with a compiler and without


@quiet
@given(matrices(), st.binary(max_size=40))
def test_python_and_machine_code_agree(drawn, noise):
    pytest.importorskip(
        "numba", reason="numba is not installed: there is no machine code to compare"
    )
    choice, levels = drawn
    choice = Choice(0, *astuple(choice)[1:])
    noise = noise[: len(noise) // 4 * 4] + b"\1\0\0\0"

    def both():
        notes = context_coding.notes(choice, levels)
        decoder = entropy.Decoder(noise)
        found, _ = context_coding.decode(choice, *levels.shape, decoder)
        back, _ = decoded(choice, levels.shape, entropy.encode([(notes, None)]))
        return notes.tolist(), found.tolist(), decoder.position(), back.tolist()

    found = []
    for loop in (None, context_loop.compiled()):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(context_loop, "_loop_for", lambda count, loop=loop: loop)
            found.append(both())
    assert found[0] == found[1]


def test_python_alone_round_trips(monkeypatch):
    monkeypatch.setattr(context_loop, "compiled", lambda: None)
    monkeypatch.setattr(context_loop, "_loop_for", lambda count: None)
    levels = rng(0).integers(-9, 10, (20, 30)) * (rng(1).random((20, 30)) < 0.3)
    choice, notes = context_coding.choose(levels, True)
    assert not choice.tiles
    assert np.array_equal(decoded(choice, levels.shape, entropy.encode([(notes, None)]))[0], levels)


# -- what it is worth


def uneven(rows=80, columns=90):
    """Whole numbers from -2 to 2, dense in some rows and columns and sparse in others."""
    random = rng(3)
    dense = random.choice([0.05, 1], rows)[:, None] * random.choice([0.05, 0.7], columns)
    return random.choice([-2, -1, 1, 1], (rows, columns)) * (random.random((rows, columns)) < dense)


def static_bits(levels):
    _, counts = np.unique(levels, return_counts=True)
    return float(-(counts * np.log2(counts / counts.sum())).sum())


@pytest.mark.parametrize("smallest", [False, True])
def test_contexts_help(smallest):
    levels = uneven()
    choice, notes = context_coding.choose(levels, smallest)
    assert (choice.tiles == 0) == smallest
    assert len(entropy.encode([(notes, None)])) < 0.97 * static_bits(levels) / 8


def test_a_map_that_is_repeated_is_found():
    """Kernels of 5 by 5, each of them dense or sparse."""
    dense = np.repeat(rng(0).choice([0.02, 0.8], 80), 25)
    levels = (rng(1).random((3, 2000)) < dense) * rng(2).choice([-1, 1], (3, 2000))
    choice, _ = context_coding.choose(levels.reshape(3, 80, 5, 5), False)
    assert choice.width == 25


def test_nothing_to_learn_costs_little():
    levels = rng(5).choice([-1, 0, 0, 1], (100, 100))
    for smallest in (False, True):
        _, notes = context_coding.choose(levels, smallest)
        assert entropy.note_bits(notes) < 1.02 * static_bits(levels) + 200


# -- one stream


@pytest.mark.parametrize("machine_code", [False, True])
def test_what_follows_in_the_stream_comes_back(monkeypatch, machine_code):
    """The loop reads the stream by itself, in two halves; the coder goes on where it stopped."""
    loop = context_loop.compiled() if machine_code else None
    if machine_code and loop is None:
        pytest.skip("numba is not installed: there is no machine code")
    monkeypatch.setattr(context_loop, "_loop_for", lambda count: loop)
    random = rng(7)
    table = entropy.frequencies(np.array([40, 3, 17, 0], np.uint8))
    parts, wanted = [], []
    for turn in range(6):
        symbols = random.integers(0, 3, int(random.integers(0, 60)))
        levels = random.integers(-5, 6, (int(random.integers(1, 12)), 7)) * (turn % 3)
        choice = Choice((0, 0, 2)[turn % 3], digits=4)
        wanted.append((symbols, choice, levels))
        parts += [(context_coding.notes(choice, levels), None), (symbols, table)]
    decoder = entropy.Decoder(entropy.encode(parts))
    for symbols, choice, levels in wanted:
        assert np.array_equal(context_coding.decode(choice, *levels.shape, decoder)[0], levels)
        assert np.array_equal(decoder.decode(entropy.model(table), len(symbols)), symbols)
    assert decoder.finished()


def test_the_stream_is_not_copied_for_each_tensor(monkeypatch):
    """A small tensor before a large one must not copy the stream of the large one."""
    monkeypatch.setattr(context_loop, "_loop_for", lambda count: None)
    small, choice = np.array([[1, 0, -1]]), Choice(0, digits=1)
    notes = context_coding.notes(choice, small)
    decoder = entropy.Decoder(rng(0).bytes(1 << 22) + entropy.encode([(notes, None)]))
    tracemalloc.start()
    assert context_coding.decode(choice, 1, 3, decoder)[0].shape == (1, 3)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 16


# -- the account of work


@quiet
@given(matrices())
def test_reader_and_writer_count_the_same_work(drawn):
    choice, levels = drawn
    noting, decoding = work.Work(1 << 60), work.Work(1 << 60)
    notes = context_coding.notes(choice, levels, noting)
    decoder = entropy.Decoder(entropy.encode([(notes, None)]))
    context_coding.decode(choice, *levels.shape, decoder, decoding)
    assert decoding.asked == noting.asked
    if not choice.tiles:
        # Each bit after the first of a number, and each number that is not zero.
        many = len(notes) - levels.size + np.count_nonzero(levels)
        assert noting.asked == work.DECISION * many


@pytest.mark.parametrize("machine_code", [False, True])
def test_one_by_one_stops_where_the_work_is_spent(monkeypatch, machine_code):
    loop = context_loop.compiled() if machine_code else None
    if machine_code and loop is None:
        pytest.skip("numba is not installed: there is no machine code")
    monkeypatch.setattr(context_loop, "_loop_for", lambda count: loop)
    levels = rng(0).integers(-100, 101, (30, 40))
    choice = Choice(0, digits=7)
    counted = work.Work(1 << 60)
    data = entropy.encode([(context_coding.notes(choice, levels, counted), None)])
    for short in (0, 1, counted.asked // 2, counted.asked - work.DECISION):
        decoder, account = entropy.Decoder(data), work.Work(counted.asked - short)
        if not short:
            context_coding.decode(choice, *levels.shape, decoder, account)
            assert account.asked == account.allowed
            continue
        with pytest.raises(ShoeError, match="raise max_seconds"):
            context_coding.decode(choice, *levels.shape, decoder, account)


def test_the_choice_has_the_places_that_the_page_gives():
    assert (context.STRENGTHS, context.RATES, context.SHARES) == (
        (2, 6, 20, 64),
        (13, 15, 17, 19),
        (26214, 45875),
    )
    out = Writer()
    context_coding.write(out, Choice(2, False, 300, 3, 2, 1, 15), 1)
    assert out.hex(" ") == "4f bd ac 02"
