"""The time of a command, by a clock that the tests turn."""

import threading

import pytest

from shoestring.artifact.progress import progress
from shoestring.kit import clock as module
from shoestring.kit import listening
from shoestring.kit.clock import ENDING, Clock, TimeUpError, duration


@pytest.fixture
def now(monkeypatch):
    """A list of one number, which is what the time is."""
    time = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: time[0])
    return time


def test_what_is_left_is_without_the_end(now):
    clock = Clock(100.0)
    assert clock.gone == 0 and clock.left == pytest.approx(100 * (1 - ENDING)) and not clock.is_up
    now[0] += 94.9
    assert not clock.is_up
    now[0] += 0.2
    assert clock.is_up and clock.left < 0 and clock.gone == pytest.approx(95.1)


def test_the_end_is_given_what_it_takes_but_not_the_search(now):
    clock = Clock(100.0)
    clock.reserve(2.0)
    assert clock.left == pytest.approx(95), "it has that already"
    clock.reserve(12.0)
    assert clock.left == pytest.approx(88)
    clock.reserve(500.0)
    assert clock.left == pytest.approx(70)


def test_it_counts_from_when_the_command_began(now):
    assert Clock(100.0, 990.0).gone == 10


def test_what_the_end_takes_is_not_trained_away(now):
    clock = Clock(100.0)
    clock.reserve(20.0)
    with listening(clock), pytest.raises(TimeUpError), progress("training", 500) as advance:
        for _ in range(500):
            now[0] += 1.0
            advance("")
    assert 80 < clock.gone < 85


def test_training_is_given_up_when_the_time_is_up(now):
    steps = 0
    raised = pytest.raises(TimeUpError, match="training was given up at step 98 of 500")
    with listening(Clock(100.0)), raised, progress("training", 500) as advance:
        for _ in range(500):
            now[0] += 1.001
            advance("")
            steps += 1
    assert steps == 97, "after that there would be no time to write"


def test_within_the_time_nothing_is_raised(now):
    with listening(Clock(100.0)), progress("training", 3) as advance:
        for _ in range(3):
            now[0] += 30
            advance("")


def test_outside_it_does_not_listen(now, capsys):
    with listening(Clock(100.0)):
        pass
    now[0] += 1000
    with progress("training", 1) as advance:
        advance("")


def test_of_two_the_inner_one_listens(now):
    said: list[str] = []
    outer, inner = (
        Clock(1000.0, say=lambda text: said.append("outer"), every=0.0),
        Clock(10.0, every=1e9),
    )
    with listening(outer):
        with pytest.raises(TimeUpError), listening(inner), progress("training", 1) as advance:
            now[0] += 20
            advance("")
        assert said == []
        with progress("training", 1) as advance:
            advance("")
    assert said == ["outer"]


def test_progress_within_progress_is_told_too(now):
    said: list[str] = []
    with (
        listening(Clock(1000.0, say=said.append, every=0.0)),
        progress("rounds", 2) as outer,
        progress("steps", 4) as inner,
    ):
        inner("")
        outer("")
    assert ["steps, 25 %" in said[0], "rounds, 50 %" in said[1]] == [True, True]


def test_it_says_now_and_then_what_runs_and_how_much_time_is_left(now):
    said: list[str] = []
    clock = Clock(600.0, say=said.append, every=15.0, what="Rate")
    with listening(clock), progress("training", 100) as advance:
        for _ in range(40):
            now[0] += 1
            advance("")
        assert said == [
            "    Rate: training, 15 %, 9.8 min left in all",
            "    Rate: training, 30 %, 9.5 min left in all",
        ]
        clock.rest()
        now[0] += 14
        advance("")
        assert len(said) == 2, "something else was just said"


def test_another_thread_is_not_stopped(now):
    clock, raised = Clock(10.0), list[BaseException]()
    now[0] += 100

    def work() -> None:
        try:
            clock("training", 1, 2, "")
        except TimeUpError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert raised == []
    with pytest.raises(TimeUpError):
        clock("training", 1, 2, "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-3, "0 s"), (0.4, "0 s"), (89, "89 s"), (90, "1.5 min"), (5399, "90.0 min"), (5400, "1.5 h")],
)
def test_seconds_in_words(seconds, words):
    assert duration(seconds) == words
