"""Input chains: numbers to check by hand, and descriptions in files, also hostile ones."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from features_back import features_back

from shoestring.artifact.chains.hashed_ngrams import HashedNgrams
from shoestring.artifact.chains.input_chain import KEY, InputChain, input_chain_of
from shoestring.artifact.chains.log_mel import BIN, LogMel
from shoestring.artifact.chains.normalise import Normalise
from shoestring.artifact.format.file import pack, unpack
from shoestring.artifact.runtime.loaded import Loaded
from shoestring.artifact.wire import ShoeError

SOUND = InputChain(steps=(LogMel(frames=4, bands=8), Normalise(mean=(-5.0,), std=(2.5,))))
TEXT = InputChain(steps=(HashedNgrams(lengths=(2, 3), most=6),))


def test_log_mel_by_hand():
    step = LogMel(window=32, hop=16, bands=2, low=500, high=3500, frames=3, floor=1e-6)
    assert step.samples == 2 * 16 + 32
    low, centre, other, high = step.edges
    assert (low, high) == (500 * BIN * 32 // 8000, 3500 * BIN * 32 // 8000)
    mel = [2595 * np.log10(1 + f / 700) for f in (500, 3500)]
    third = 700 * (10 ** ((2 * mel[0] + mel[1]) / 3 / 2595) - 1)
    assert centre == round(third * BIN * 32 / 8000)
    filters = step.filters()
    # Bin 3 is at 768 / 256: on the way up to the first centre.
    assert filters[0, 3] == (768 - low) * 2**15 // (centre - low) / 2**15 and filters[1, 3] == 0
    between = filters[:, centre // BIN + 1 : other // BIN + 1]
    assert between.size and (between.sum(0) == 1).all()
    sound = np.zeros(64, np.int16)
    sound[8] = 16384
    features = step(sound)
    assert features.shape == (1, 1, 3, 2) and features.dtype == np.float32
    # An impulse has the same energy in each bin: half, times the window, squared.
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * 8 / 32)
    np.testing.assert_allclose(
        features[0, 0, 0], np.log((0.5 * hann) ** 2 * filters.sum(1) + 1e-6), rtol=1e-6
    )
    np.testing.assert_allclose(features[0, 0, 1:], np.log(1e-6), rtol=1e-6)


def test_sounds_come_as_integers_or_floats_of_any_length():
    step = LogMel(frames=4, bands=8)
    sound = np.arange(-3000, 3000, 7).astype(np.int16)
    given = step([sound, sound[:100], sound[:0]])
    assert given.shape == (3, 1, 4, 8)
    assert np.array_equal(step(sound / 32768.0), step([sound]))
    assert np.array_equal(step(np.pad(sound, (0, 5000))), given[:1])  # what is beyond is cut
    assert np.allclose(given[2], np.log(step.floor))
    for wrong in ("a.wav", 3, [], [np.zeros((2, 3))], [np.array([1])], [np.array([np.nan])]):
        with pytest.raises(ValueError, match="sound"):
            step(wrong)


def test_normalise_by_hand():
    step = Normalise(mean=(1.0, 2.0), std=(2.0, 0.5), axis=1)
    assert step([[3, 3], [1, 2]]).tolist() == [[1, 2], [0, 0]]
    with pytest.raises(ValueError, match="has no 2 channels on axis 1"):
        step([[1, 2, 3]])
    with pytest.raises(ValueError, match="array of bool"):
        step(np.zeros((2, 2), bool))


def test_ngrams_by_hand():
    step = HashedNgrams(lengths=(2, 3), buckets=1 << 20, most=6)

    def fnv(data: bytes) -> int:
        hashed = 0x811C9DC5
        for byte in data:
            hashed = ((hashed ^ byte) * 0x01000193) % 2**32
        return 1 + hashed % 2**20

    assert fnv(b"a") == 1 + 0xE40C292C % 2**20  # the published hash of "a"
    found = step(["AbC", "", "abcdefgh"])
    assert found.dtype == np.int64
    assert found[0].tolist() == [fnv(b"ab"), fnv(b"abc"), fnv(b"bc"), 0, 0, 0]
    assert not found[1].any()
    assert found[2].tolist() == [fnv(b) for b in (b"ab", b"abc", b"bc", b"bcd", b"cd", b"cde")]
    assert step("abc").tolist() == step(["ABC"]).tolist()
    assert step(["\ud800", "x" * 3_000_000]).shape == (2, 6)
    for wrong in ([], [1], b"ab", np.zeros(3), None):
        with pytest.raises(ValueError, match="texts are wanted"):
            step(wrong)


@pytest.mark.parametrize("chain", [SOUND, TEXT, replace(SOUND, input=3)])
def test_a_description_comes_back(chain):
    assert input_chain_of(chain.notes()) == chain
    assert input_chain_of({}) is None


def test_it_travels_in_the_file_and_runs():
    data = pack(features_back(SOUND, ("N", 1, 4, 8)))
    loaded = Loaded(unpack(data), threads=1)
    assert loaded.input_chain == SOUND
    sound = np.arange(-3000, 3000, 7).astype(np.int16)
    assert np.array_equal(loaded.from_raw([sound, sound]), SOUND([sound, sound]))
    assert np.array_equal(loaded(SOUND([sound])), SOUND([sound]))
    plain = Loaded(replace(features_back(SOUND, ("N", 1, 4, 8)), notes={}), threads=1)
    with pytest.raises(TypeError, match="no input chain, so it takes no raw inputs but x"):
        plain.from_raw([sound])


def test_texts_go_in_as_they_are():
    loaded = Loaded(features_back(TEXT, ("N", 6), 7), threads=1)
    texts = ["<script>", 'it\'s "quoted"', "x" * 1_000_000]
    assert np.array_equal(loaded(texts), TEXT(texts))
    assert np.array_equal(loaded(x=texts), loaded.from_raw(texts))
    assert np.array_equal(loaded(TEXT(texts)), TEXT(texts))
    assert np.array_equal(loaded("one"), TEXT(["one"]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["steps"][0].update(kind="wavelet"), "kind 'wavelet', which this program"),
        (lambda c: c["steps"][0].update(dither=1), "log_mel with 'dither', which this program"),
        (lambda c: c.update(output=1), "'output', which this program"),
        (lambda c: c["steps"][0].pop("hop"), "log_mel has no hop"),
        (lambda c: c["steps"][0].update(frames=10**9), "frames is 1000000000: it must be an int"),
        (lambda c: c["steps"][0].update(frames=4.0), r"frames is 4\.0"),
        (lambda c: c["steps"][0].update(window=1 << 40), "window is"),
        (lambda c: c["steps"][0].update(window=100), "must be a power of two"),
        (lambda c: c["steps"][0].update(bands=200), "has no bin"),
        (lambda c: c["steps"][0].update(frames=4096, window=4096), "are too many: 4,194,304"),
        (lambda c: c["steps"][0].update(low="<script>"), "low is '<script>'"),
        (lambda c: c["steps"][0].update(low=True), "low is True"),
        (lambda c: c["steps"][0].update(floor=10**400), "floor is a very long integer"),
        (lambda c: c["steps"][1].update(mean=[10**400]), "mean is a very long integer"),
        (lambda c: c["steps"][1].update(mean=[]), "mean must be a tuple"),
        (lambda c: c["steps"][1].update(std=[0.0]), "std is 0"),
        (lambda c: c["steps"][1].update(mean=[1.0, 2.0]), "2 means and 1 deviations"),
        (lambda c: c["steps"][1].update(mean=["x" * 10**5]), "100,002 characters"),
        (lambda c: c["steps"].reverse(), "LogMel can only be the first step"),
        (lambda c: c["steps"].clear(), "1 to 8 steps"),
        (lambda c: c.update(steps=c["steps"] * 9), "over 8 steps"),
        (lambda c: c.update(steps={}), "no steps"),
        (lambda c: c.update(input=-1), "a number from 0"),
        (lambda c: c.update(input=7), "makes input 7, and it has 1"),
        (lambda c: c["steps"].insert(0, 3), "has no kind"),
        (lambda c: c["steps"][0].update(frames=5), r"takes \['N', 1, 4, 8\]"),
    ],
)
def test_a_hostile_or_newer_description_is_refused(change, said):
    described = json.loads(SOUND.notes()[KEY])
    change(described)
    made = replace(features_back(SOUND, ("N", 1, 4, 8)), notes={KEY: json.dumps(described)})
    with pytest.raises(ShoeError, match=said) as error:
        Loaded(unpack(pack(made)), threads=1)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", "[" * 100_000, '{"steps":' + "9" * 9000 + "}", "x" * 300_000, "NaN"]
)
def test_what_is_no_description_is_refused(text):
    with pytest.raises(ShoeError, match="input chain"):
        input_chain_of({KEY: text})


def test_huge_numbers_are_refused_briefly():
    with pytest.raises(ValueError, match="a very long integer"):
        LogMel(frames=10**5000)
    with pytest.raises(ValueError, match="HashedNgrams stands alone"):
        InputChain(steps=(HashedNgrams(), Normalise(mean=(0.0,), std=(1.0,))))
    with pytest.raises(ValueError, match="str is no step"):
        InputChain(steps=("log_mel",))  # type: ignore[arg-type]


def test_a_chain_for_an_input_of_another_type_is_refused():
    for chain, shape, element in (
        (SOUND, ("N", 1, 4, 8), 7),
        (TEXT, ("N", 6), 1),
        (TEXT, ("N", 6), 2),  # its ids are beyond uint8
    ):
        with pytest.raises(ShoeError, match=r"its input chain makes .*, and its input x takes"):
            Loaded(features_back(chain, shape, element), threads=1)


def test_one_number_is_no_sound():
    with pytest.raises(ValueError, match="sounds are arrays of samples"):
        SOUND(np.array(3, np.int16))
