"""The planner's search finds the techniques of two directions, for tasks that have two."""

from __future__ import annotations

import pytest
from made_duals import Readers, pictures_and_labels

from shoestring.core import seeded
from shoestring.dual import BackTranslation, DualLearning, DualSupervised
from shoestring.plan.learners import Timed, learners, timed


def test_a_search_learns_from_two_directions_where_a_task_has_them():
    ours = {BackTranslation, DualLearning, DualSupervised}
    found = [one for one in learners() if type(one) in ours]
    assert {type(one) for one in found} == ours
    task = pictures_and_labels(40)
    with seeded(0):
        model = Readers()
    for technique in found:
        told = timed(technique, model, task.sealed(), seed=0, least=0.0)
        assert isinstance(told, Timed), told
        with pytest.raises(TypeError, match="one direction only"):
            timed(technique, model["read"], task.ahead.sealed(), seed=0, least=0.0)
