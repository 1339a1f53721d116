import pytest

from shoestring.kit import chosen

NAMES = ["stem", "stages.0.conv1", "stages.0.conv2", "stages.1.conv1", "head"]


@pytest.mark.parametrize(
    ("only", "keep", "expected"),
    [
        ((), (), NAMES),
        (("stages.*",), (), NAMES[1:4]),
        ((), ("stem", "head"), NAMES[1:4]),
        (("*.conv1",), ("stages.1.*",), ["stages.0.conv1"]),
        (("stem",), ("s*",), []),
    ],
)
def test_names_that_fit_only_and_not_keep(only, keep, expected):
    assert chosen(NAMES, only, keep, "someone") == expected


def test_a_pattern_that_fits_nothing_is_refused_with_the_near_misses():
    with pytest.raises(ValueError, match=r"someone: only= names 'stages.0.conv3'.*nearest are stages.0.conv"):
        chosen(NAMES, ("stages.0.conv3",), (), "someone")
    with pytest.raises(ValueError, match=r"keep= names 'x\*'"):
        chosen(NAMES, (), ("x*",), "someone")
