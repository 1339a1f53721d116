"""Universal Dependencies treebanks: sentences, their words and parts of speech."""

from __future__ import annotations

from shoestring.kit.corpora.conllu import Sentence, read_conllu
from shoestring.tasks.ewt import FILES as ENGLISH
from shoestring.tasks.fetch import Source, content_of

_GITHUB = "https://raw.githubusercontent.com/UniversalDependencies"


def _files(
    folder: str, home: str, prefix: str, digests: dict[str, tuple[str, str]]
) -> dict[str, tuple[Source, Source]]:
    """For each split the file as its home has it, and the same gzipped.

    `digests`: for each split the sha256 of both.
    """
    names = {"train": "train", "validation": "dev", "test": "test"}
    found = {}
    for split, (plain, gzipped) in digests.items():
        name = f"{prefix}-{names[split]}.conllu"
        url = f"{home}/{name}" if home else ""
        found[split] = (
            Source(folder, name, url, plain),
            Source(folder, f"{name}.gz", "", gzipped),
        )
    return found


CHINESE = _files(
    "ud/UD_Chinese-GSD_r1.4",
    f"{_GITHUB}/UD_Chinese-GSD/r1.4",
    "zh-ud",
    {
        "train": (
            "94c1ad7f8f7d545169bafbef367852b965ec5eada13d614d8e8b6b9297ee6d0d",
            "6c619873f6a09101d66b7f14f843dca869e1f62e6b4fa9e489d837bf18377f15",
        ),
        "validation": (
            "574a2c826fc4207530be65b9cd9d8d9611a9749716ab1e3349ec681b93c7a42f",
            "882bfd5683c6a0a69c3a8881650090dc2934db51c1454737487f4aef653ef9f1",
        ),
        "test": (
            "c5fe2733ca4a118725fc06d6a7dbce9952254a4a174f3bd75e13ab4d504e9970",
            "527012d38737f7bef50e0768604158104c28b7ec98a8a9f4205f20e9f7e76ec5",
        ),
    },
)
# Its training sentences were decoded from another form, so that form has no public home.
JAPANESE = _files(
    "ud/UD_Japanese-GSD_r2.9",
    "",
    "ja_gsd-ud",
    {
        "train": (
            "e6cadfb0285e79ab042917fcda0341a93bd4fa528aeac0ab7cb2018cd14c3060",
            "e06ce834de356be9dd275662494ceaab2b6828dba040dd767c5908949b342a92",
        ),
        "validation": (
            "62f75632d2ddc26ca5c1cfdfb65b61e5ace1a2c4672aab301784dfb2e3878c3d",
            "6ff6259bbfe16aa2a77a51fc0cd765d4fba5e958b3ac174d703a514f5391feff",
        ),
        "test": (
            "7485963bbc6bf123abb662b8d7605c47e0b5f5437c50a2bbe4a2ce9881b051cb",
            "5df02886a6a67d0670219d33eb2573aad21e049a368b216382c0da1dafb087f3",
        ),
    },
)
TREEBANKS = {"en": ENGLISH, "zh": CHINESE, "ja": JAPANESE}
"""English-EWT 2.16, Chinese-GSD 1.4 and Japanese-GSD 2.9, by the code of the language."""


def treebank(language: str, split: str) -> list[Sentence]:
    """The sentences of a split: "train", "validation" or "test".

    `language`: "en", "zh" or "ja" (`TREEBANKS`).
    Source: Universal Dependencies; Silveira et al. 2014 for English.
    Raises DataError where the file cannot be had: the Japanese one only in SHOESTRING_DATA.
    """
    path, content = content_of(*TREEBANKS[language][split])
    return read_conllu(content, str(path))
