"""Version 4 of the file: its frame, its table of blocks, names, notes and signatures."""

import zlib
from dataclasses import replace

import numpy as np
import pytest
from samples import checkpoint, linear, several

from shoestring.artifact import Checkpoint, Content, Entries, ShoeError, bill, load
from shoestring.artifact.format import blocks, describing, file, indexed
from shoestring.artifact.format.tensors import NUMBERS, Tensor, tensor

RANDOM = np.random.default_rng(5)
LARGE = (0.02 * RANDOM.standard_normal((300, 300))).astype(np.float32)


def packed() -> Checkpoint:
    """A checkpoint with large tensors between small ones."""
    bf16 = (LARGE[:280].view(np.uint32) >> 16).astype(np.uint16)
    tensors = [
        tensor(np.arange(5), 0),
        tensor(LARGE, 1),
        tensor(np.zeros((3, 4), np.float32), 2),
        Tensor(NUMBERS["bfloat16"], bf16, 3),
    ]
    return Checkpoint(tensors, ("n", "large", "zeros", "half"), {"a": "b", "é": ""})


def same(a, b) -> bool:
    pairs = zip(a.tensors, b.tensors, strict=True)
    return all(x.element == y.element and np.array_equal(x.bits, y.bits) for x, y in pairs)


def reframed(data: bytes, change) -> bytes:
    """The file with its index changed by `change(sections, region)`, and its checksum right."""
    region, sections = indexed.parts(memoryview(data))
    region, sections = change(bytes(region), [bytes(section) for section in sections])
    return indexed.framed(region, sections)


def test_large_tensors_are_in_blocks():
    content = packed()
    data = file.pack(content)
    again = file.unpack_any(data)
    assert data[4] == 4 and isinstance(again, Checkpoint) and same(content, again)
    assert (again.names, again.notes) == (content.names, content.notes)
    assert [how.coding for how in again.packed].count(8) == 2
    assert sum(line.bytes for line in bill(data)) == len(data)
    assert len(data) < 0.9 * sum(one.bits.nbytes for one in content.tensors)


def test_several_blocks_and_a_short_last_one(monkeypatch):
    monkeypatch.setattr(blocks, "bits_for", lambda width: 14)
    content = packed()
    data = file.pack(content)
    assert same(content, file.unpack_any(data))
    table = read_table(data)
    assert [len(parts) for _, parts in table.tensors.values()] == [6, 6]


def read_table(data: bytes) -> indexed.Table:
    region, sections = indexed.parts(memoryview(data))
    counts = [one.bits.size for one in packed().tensors]
    return indexed.read_table(indexed.Region(sections[4], region), counts)


def test_small_files_stay_in_version_2():
    assert file.pack(linear())[4] == 2 and file.pack(checkpoint())[4] == 2
    assert file.pack(several())[4] == 3


@pytest.mark.parametrize("content", [linear(), several()])
def test_models_may_have_names_and_notes(content):
    names = tuple(f"tensor {i}" for i in range(len(content.tensors)))
    plain = file.pack(content)
    for given, notes in ((names, {}), ((), {"licence": "MIT"}), (names, {"licence": "MIT"})):
        data = file.pack(replace(content, names=given, notes=notes))
        again = file.unpack_any(data)
        assert data[4] == 4 and isinstance(again, type(content))
        assert (again.names, again.notes) == (given, notes) and same(content, again)
        assert describing.described(plain, names=given, notes=notes) == data
        assert sum(line.bytes for line in bill(data)) == len(data)
    assert len(file.pack(replace(content, notes={"note": "x"}))) < len(plain) + 40
    with pytest.raises(ValueError, match="names for"):
        file.pack(replace(content, names=("one", "two", "three", "four", "five")))


def test_a_file_with_notes_runs_as_before(tmp_path):
    path, x = tmp_path / "m.shoe", np.ones((2, 3), np.float32)
    path.write_bytes(file.pack(linear()))
    before = load(path)(x)
    path.write_bytes(describing.described(path.read_bytes(), notes={"note": "hello"}))
    np.testing.assert_array_equal(load(path)(x), before)
    path.write_bytes(file.pack(several()))
    path.write_bytes(describing.described(path.read_bytes(), notes={"note": "hello"}))
    assert set(load(path).entries) == set(several().graphs)


def test_describing_keeps_blocks_and_adds_or_removes_notes():
    data = file.pack(packed())
    more = describing.described(data, notes={"licence": "CC0-1.0", "a": None})
    again = file.unpack_any(more)
    assert again.notes == {"é": "", "licence": "CC0-1.0"} and same(packed(), again)
    assert indexed.parts(memoryview(more))[0] == indexed.parts(memoryview(data))[0]
    with pytest.raises(ValueError, match="0 names for 4 tensors"):
        describing.described(data, names=())
    with pytest.raises(ValueError, match="same name"):
        describing.described(data, names=("a",) * 4)


def test_signatures_are_checked():
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    for content in (linear(), packed()):
        plain = file.pack(content)
        data = describing.signed(plain, key)
        assert same(content, file.unpack_any(data)) and data[-1] == 1
        describing.verify(data, key.public_key())
        assert describing.signed(data, key) == data
        with pytest.raises(ShoeError, match="not by this key"):
            describing.verify(data, other.public_key())
        with pytest.raises(ShoeError, match="not signed"):
            describing.verify(plain, key.public_key())
        stripped = indexed.with_signature(data, indexed.UNSIGNED, b"")
        with pytest.raises(ShoeError, match="not signed"):
            describing.verify(stripped, key.public_key())
        changed = bytearray(data)
        changed[-30] ^= 1
        with pytest.raises(ShoeError, match="not by this key"):
            describing.verify(bytes(changed), key.public_key())


def test_keys_must_be_of_ed25519():
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        PublicFormat,
    )

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert describing.private_key(private).sign(b"x") == key.sign(b"x")
    assert describing.public_key(public) == describing.public_key(private) == key.public_key()
    with pytest.raises(ValueError, match="signed with the private one"):
        describing.private_key(public)
    for pem in (b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\n"):
        with pytest.raises(ValueError, match="no key in PEM"):
            describing.public_key(pem)
    curve = ec.generate_private_key(ec.SECP256R1())
    pem = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="not of Ed25519"):
        describing.private_key(pem)


def test_every_changed_byte_is_noticed():
    content = replace(linear(), notes={"licence": "MIT"})
    data = file.pack(content)
    for at in range(4, len(data)):
        for bit in (0, 3, 7):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            with pytest.raises(ShoeError):
                file.unpack_any(bytes(changed))
    for end in range(len(data)):
        with pytest.raises(ShoeError):
            file.unpack_any(data[:end])
    with pytest.raises(ShoeError):
        file.unpack_any(data + b"\0")
    large = file.pack(packed())
    for at in [*range(5, 400, 7), *RANDOM.integers(400, len(large), 40).tolist()]:
        changed = bytearray(large)
        changed[at] ^= 4
        with pytest.raises(ShoeError):
            file.unpack_any(bytes(changed))


def table_of(*tensors: tuple[int, int, list[tuple[int, int]]]) -> bytes:
    """The bytes of a table: (tensors between, logarithm, (length, checksum) of each block)."""
    out = bytearray([len(tensors)])
    for between, bits, parts in tensors:
        out += bytes([between, bits, len(parts)])
        for length, checksum in parts:
            low = bytearray()
            while length > 127:
                low.append(length & 127 | 128)
                length >>= 7
            out += bytes([*low, length]) + checksum.to_bytes(4, "little")
    return bytes(out)


def test_tables_that_do_not_fit_are_refused():
    data = file.pack(packed())
    _, sections = indexed.parts(memoryview(data))
    (bits, first), (_, second) = read_table(data).tensors.values()
    one, two = ([(part.length, part.checksum) for part in parts] for parts in (first, second))
    assert table_of((1, bits, one), (1, bits + 1, two)) == bytes(sections[4])
    for table, why in (
        (b"", "its blocks have 0 bytes|is larger than|wanted"),
        (table_of((1, bits, one)), "those of the file"),
        (table_of((0, bits, one), (2, bits, two)), "5 elements cannot have"),
        (table_of((1, bits, one), (7, bits, two)), "does not exist|coding|wanted"),
        (table_of((1, 13, one), (1, bits, two)), r"no blocks of 2\^13"),
        (table_of((1, 23, one), (1, bits, two)), r"no blocks of 2\^23"),
        (table_of((1, 14, one), (1, bits, two)), "cannot have 1 blocks"),
        (table_of((1, bits, [(one[0][0] + 9, 0)]), (1, bits, two)), "over|those of the file"),
        (table_of((1, bits, [(one[0][0], 5)]), (1, bits + 1, two)), "checksum of a block"),
        (sections[4].tobytes() + b"\0", "bytes too many"),
    ):
        bad = reframed(data, lambda r, s, table=table: (r, [*s[:4], table, s[5]]))
        with pytest.raises(ShoeError, match=why):
            file.unpack_any(bad)
    with pytest.raises(ShoeError, match="those of the file"):
        file.unpack_any(reframed(data, lambda r, s: (r + b"\0", s)))


def test_frames_that_do_not_fit_are_refused():
    data = file.pack(packed())
    for bad, why in (
        (b"SHOE\4", "too early"),
        (data[:-1] + b"\2", "no signature of kind 2"),
        (b"SHOE\4" + data[-14:], "cut off or changed"),
        (data[:-1] + b"\1", "cut off or changed"),
        (data[5:], "does not begin with SHOE"),
    ):
        with pytest.raises(ShoeError, match=why):
            file.unpack_any(bad)
    nameless = reframed(data, lambda r, s: (r, [s[0], s[1], b"", *s[3:]]))
    with pytest.raises(ShoeError, match="have no names"):
        file.unpack_any(nameless)
    with pytest.raises(ShoeError, match="raise max_bytes"):
        file.unpack_any(data, 100_000)


def test_a_model_of_several_entries_may_not_have_an_empty_name():
    graph = linear().graph
    with pytest.raises(ValueError, match="letter must come first"):
        file.pack(Entries({"": graph}, linear().tensors, notes={"note": "x"}))
    single = file.pack(Content(graph, linear().tensors, notes={"note": "x"}))
    assert isinstance(file.unpack_any(single), Content)


def test_checksums_are_those_of_zip():
    data = file.pack(packed())
    region, _ = indexed.parts(memoryview(data))
    table = read_table(data)
    for _, parts in table.tensors.values():
        for part in parts:
            assert zlib.crc32(region[part.begin : part.begin + part.length]) == part.checksum


def test_limits_must_be_numbers():
    data = file.pack(packed())
    for limits in ({"max_bytes": float("nan")}, {"max_bytes": -1}):
        with pytest.raises(ValueError, match="max_bytes is"):
            file.unpack_any(data, **limits)
    for seconds in (float("nan"), -1.0, float("-inf")):
        with pytest.raises(ValueError, match="max_seconds is"):
            file.unpack_any(data, max_seconds=seconds)
    assert file.unpack_any(data, max_seconds=float("inf"))


def test_damaged_files_are_not_signed():
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key, data = Ed25519PrivateKey.generate(), file.pack(packed())
    changed = bytearray(data)
    changed[100] ^= 1
    with pytest.raises(ShoeError, match="nothing is signed"):
        describing.signed(bytes(changed), key)
    for other in (b"", b"SHOE", b"data\4" + bytes(90) + b"\1"):
        with pytest.raises(ShoeError):
            describing.signed(other, key)
