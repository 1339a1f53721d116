"""Multi30k, as it is on this machine."""

from __future__ import annotations

import pytest

from shoestring.tasks.fetch import Source, present
from shoestring.tasks.multi30k import multi30k, multi30k_lines

here = present(Source("multi30k", "train.en.gz", "", "")) is not None
needs_data = pytest.mark.skipif(not here, reason="Multi30k is in no cache: SHOESTRING_DATA")


@needs_data
def test_sentences_of_one_number_translate_one_another():
    assert multi30k_lines("validation", "en")[0].startswith("A group of men are loading cotton")
    assert multi30k_lines("validation", "de")[0].startswith(
        "Eine Gruppe von Männern lädt Baumwolle"
    )
    assert len(multi30k_lines("test_2017", "fr")) == 1000


@needs_data
@pytest.mark.slow
def test_the_task_has_the_pairs_that_are_asked_for():
    task = multi30k("de", "fr", pairs=100, test="test_2017")
    assert len(task.train) == 100 and len(task.validation) == 1014 and len(task.test) == 1000
    assert sum(len(source) for source, _ in task.batches("train")) == 100
    assert task.name == "multi30k de-fr"


def test_what_there_is_not_is_refused():
    with pytest.raises(ValueError, match="no split 'dev' in 'en'"):
        multi30k_lines("dev", "en")
    with pytest.raises(ValueError, match="there are 1 to 29000"):
        multi30k(pairs=0)
    with pytest.raises(ValueError, match="name two languages"):
        multi30k("en", "en")
