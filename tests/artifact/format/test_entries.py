"""Files with several entries: their contents, how they run, and that hostile ones do no harm."""

from __future__ import annotations

import random
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from samples import describe, linear, nested, several, varied
from test_hostile import mutate

from shoestring.artifact import Content, Entries, Loaded, ShoeError, bill, by_entry
from shoestring.artifact.format import entries, file
from shoestring.artifact.format.dictionary import DICTIONARY
from shoestring.artifact.format.graph import Node, Port
from shoestring.artifact.format.tensors import tensor
from shoestring.artifact.wire import Writer, squeeze, unsqueeze

GRAPH = file.GRAPH


DATA = file.pack(several())


def inflated(data: bytes = DATA) -> bytes:
    return unsqueeze(memoryview(file.sections(data)[GRAPH]), "", 1 << 22, DICTIONARY)


def with_graphs(graphs: bytes) -> bytes:
    """The file with other graphs, and a checksum that fits."""
    return file.framed(
        {**file.sections(DATA), GRAPH: squeeze(graphs, DICTIONARY)}, file.ENTRIES_VERSION
    )


def all_close(a: Entries, b: Entries) -> bool:
    return list(a.graphs) == list(b.graphs) and all(
        describe(Content(a.graphs[name], a.tensors)) == describe(Content(b.graphs[name], b.tensors))
        for name in a.graphs
    )


def test_a_round_trip_keeps_every_bit_and_the_version_is_3():
    again = file.unpack_any(DATA)
    assert isinstance(again, Entries) and all_close(again, several())
    assert DATA[4] == 3
    assert file.pack(again) == DATA


def test_a_file_with_one_graph_is_of_version_2():
    assert file.pack(linear())[4] == 2


def test_each_entry_has_the_tensors_that_it_reads():
    found = by_entry(several())
    assert [one.member for one in found["encode"].tensors] == [0, 1]
    assert [one.member for one in found["step"].tensors] == [2]
    assert describe(found["encode"]) == describe(linear())
    for name, one in by_entry(file.unpack_model(DATA)).items():
        assert [packed.tensor for packed in one.packed] == one.tensors, name


def test_entries_run_as_the_files_of_their_own_do():
    loaded, x = Loaded(several()), np.array([[1, 2, 3]], np.float32)
    expected = Loaded(linear())(x)
    assert (loaded.encode(x) == expected).all() and (loaded["encode"](x) == expected).all()
    assert (loaded.entries["encode"].run({"x": x})["y"] == expected).all()
    a = np.arange(8, dtype=np.float32).reshape(2, 4)
    sums = loaded.step(a, (a, None), scale=np.float32(1))["sum"]
    assert (sums == Loaded(nested())(a, (a, None), scale=np.float32(1))["sum"]).all()
    assert loaded.signature().startswith("encode(x: float32[N, 3]); step(a: float32")


@pytest.mark.parametrize("call", [lambda one: one(1), lambda one: one.run({"x": 1})])
def test_a_call_without_a_name_lists_the_entries(call):
    with pytest.raises(
        TypeError,
        match=r"by the name of an entry, \.encode\(\.\.\.\) or \.step\(\.\.\.\): it has encode\(x",
    ):
        call(Loaded(several()))


def test_names_of_no_entry():
    loaded = Loaded(several())
    with pytest.raises(
        AttributeError,
        match=r"no attribute 'encod'; its entries are encode, step .did you mean 'encode'",
    ):
        loaded.encod  # noqa: B018
    with pytest.raises(KeyError, match="no entry 'run': its entries are encode, step"):
        loaded["run"]
    with pytest.raises(KeyError, match="one graph, which has no name: call it"):
        Loaded(linear())["encode"]
    assert not hasattr(loaded, "__len__") and not hasattr(Loaded(linear()), "encode")


def test_who_wants_one_graph_is_told_of_the_entries():
    with pytest.raises(
        ShoeError, match=r"several entries \(encode, step\), and one graph is wanted here"
    ):
        file.unpack(DATA)


def test_one_entry_with_a_name_keeps_it():
    one = Entries({"encode": linear().graph}, linear().tensors)
    loaded = Loaded(file.unpack_model(file.pack(one)))
    assert list(loaded.entries) == ["encode"]
    with pytest.raises(TypeError, match="by the name of an entry"):
        loaded(np.ones((1, 3), np.float32))


def test_the_bill_has_a_line_for_each_graph_and_adds_up():
    lines = bill(DATA)
    assert sum(line.bytes for line in lines) == len(DATA)
    assert [line.name for line in lines if line.name.startswith("graph")] == [
        "graph encode",
        "graph step",
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "a letter must come first"),
        ("_x", "a letter must"),
        ("1", "a letter"),
        ("a.b", "a letter"),
        ("x" * 65, "a letter"),
        ("é", "a letter"),
        ("a\n", "a letter"),
        ("run", "a loaded file has an attribute"),
        ("entries", "a loaded file has"),
    ],
)
def test_names_that_cannot_be(name, why):
    with pytest.raises(ValueError, match=re.escape(f"an entry cannot be called {name!r}: {why}")):
        file.pack(Entries({name: linear().graph}, linear().tensors))


def test_what_a_writer_refuses():
    graph, tensors = linear().graph, linear().tensors
    with pytest.raises(ValueError, match="1 to 8 entries and there are 0"):
        file.pack(Entries({}, tensors))
    with pytest.raises(ValueError, match="1 to 8 entries and there are 9"):
        file.pack(Entries({f"e{place}": graph for place in range(9)}, tensors))
    with pytest.raises(ValueError, match="the graph wants 2 tensors and there are 1"):
        file.pack(Entries({"a": graph}, tensors[:1]))
    long = replace(graph, nodes=(Node("Identity", (0,), 1),) * 9000, results=(3,))
    with pytest.raises(ValueError, match="18,000 nodes"):
        file.pack(Entries({"a": long, "b": long}, tensors))


# -- hostile


def raw(*named: tuple[bytes, bytes], count: int | None = None) -> bytes:
    """The graphs of a file, whatever they are."""
    out = Writer()
    out.varint(len(named) if count is None else count)
    for name, body in named:
        out.varint(len(name))
        out += name
        out.varint(len(body))
        out += body
    return bytes(out)


def bodies() -> list[bytes]:
    """The graphs of `several`, one by one."""
    from shoestring.artifact.format.graph import encode

    return [encode(one) for one in several().graphs.values()]


ENCODE, STEP = bodies()


def test_graphs_are_laid_out_as_the_page_says():
    assert inflated() == raw((b"encode", ENCODE), (b"step", STEP))


@pytest.mark.parametrize(
    ("graphs", "why"),
    [
        (raw(count=0), "there is no entry"),
        (raw(*[(b"a%d" % place, ENCODE) for place in range(9)]), "the number 9 is over 8"),
        (raw((b"a", ENCODE), (b"a", STEP)), "two entries have the same name"),
        (raw((b"", ENCODE)), "other characters than letters"),
        (raw((b"__class__", ENCODE)), "other characters than letters"),
        (raw((b"a.b", ENCODE)), "other characters than letters"),
        (raw((b"a\n", ENCODE)), "other characters than letters"),
        (raw((b"x" * 65, ENCODE)), "other characters than letters"),
        (raw((b"\xff", ENCODE)), "a name is not UTF-8"),
        (raw((b"a", ENCODE + b"\0")), "1 bytes too many"),
        (raw((b"a", ENCODE)) + b"\0", "1 bytes too many"),
        (raw((b"a", ENCODE), count=2), "bytes are wanted and 0 are left"),
        (raw((b"a", ENCODE[:-1])), "are wanted and 0 are left"),
        (raw((b"a", b"")), "are wanted and 0 are left"),
    ],
)
def test_graphs_that_are_none(graphs, why):
    with pytest.raises(ShoeError, match=why):
        file.unpack_any(with_graphs(graphs))


def test_a_graph_over_another_number_of_tensors():
    other = linear()
    body = entries.encode({"a": entries.among(other.graph, (0, 1), 3)})
    with pytest.raises(ShoeError, match="its graph wants 3 tensors and it holds 4"):
        file.unpack_any(with_graphs(body))


def test_more_nodes_together_than_one_graph_may_have():
    from shoestring.artifact.format.graph import encode

    one = replace(
        several().graphs["encode"], nodes=(Node("Identity", (0,), 1),) * 9000, results=(5,)
    )
    with pytest.raises(ShoeError, match="18,000 nodes"):
        file.unpack_any(with_graphs(raw((b"a", encode(one)), (b"b", encode(one)))))


def test_a_version_3_without_graphs_or_with_names_is_refused():
    with pytest.raises(ShoeError):
        file.unpack_any(file.framed({**file.sections(DATA), GRAPH: b""}, file.ENTRIES_VERSION))
    with pytest.raises(ShoeError, match="names and a graph"):
        file.unpack_any(
            file.framed(
                {**file.sections(DATA), file.NAMES: squeeze(b"\0\0\0\0\0")}, file.ENTRIES_VERSION
            )
        )


def test_entries_may_not_multiply_what_a_small_file_takes():
    """Each entry has its own copy of the tensors: the limit is on all of them."""
    zeros = tensor(np.zeros(1 << 16, np.float32), 0)
    graph = replace(
        linear().graph,
        inputs=(Port("x", 1, ("N",)),),
        weights=1,
        nodes=(Node("Add", (0, 1), 1),),
        results=(2,),
    )
    data = file.pack(Entries({f"e{place}": graph for place in range(8)}, [zeros]))
    assert len(data) < 300
    assert isinstance(file.unpack_any(data, 8 << 18), Entries)
    with pytest.raises(
        ShoeError,
        match=r"8 entries of this file read 2,097,152 bytes of tensors together, .* raise "
        r"max_bytes",
    ):
        file.unpack_any(data, (8 << 18) - 1)


def test_every_truncation_and_every_flipped_bit_is_noticed():
    for end in range(len(DATA)):
        with pytest.raises(ShoeError):
            file.unpack_any(DATA[:end])
    for place in range(8 * len(DATA)):
        data = bytearray(DATA)
        data[place // 8] ^= 1 << place % 8
        with pytest.raises(ShoeError):
            file.unpack_any(bytes(data))


def test_every_truncation_of_the_graphs_is_noticed_with_a_checksum_that_fits():
    whole = inflated()
    for end in range(len(whole)):
        with pytest.raises(ShoeError):
            file.unpack_any(with_graphs(whole[:end]))


def test_mutated_graphs_load_or_raise():
    """Of those that load, the names are ones that may be, and the entries run or say why not."""
    draw, whole, loaded = random.Random(0), inflated(), 0
    for _ in range(1500):
        start = time.process_time()
        try:
            found = file.unpack_any(with_graphs(mutate(draw, whole)), 1 << 20)
        except ShoeError:
            continue
        finally:
            assert time.process_time() - start < 5
        assert isinstance(found, Entries)
        assert all(name.isidentifier() and not name.startswith("_") for name in found.graphs)
        if loaded % 10 == 0:
            try:
                Loaded(found, threads=1)
            except ShoeError as error:
                assert str(error)
        loaded += 1
    assert loaded > 20


def test_a_file_of_every_coding_with_two_entries():
    content = varied()
    named = Entries({"first": content.graph, "second": content.graph}, content.tensors)
    again = file.unpack_any(file.pack(named))
    assert isinstance(again, Entries) and all_close(again, named)
    assert len(file.pack(named)) < len(file.pack(content)) + 60
