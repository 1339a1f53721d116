from itertools import count

import pytest

from shoestring.artifact import OnnxRuntime, OpenVINO, ShoeError
from shoestring.core import Cost
from shoestring.meters import Latency, Ratio, ThreadTime, Timing, alternate, latency, ratio
from shoestring.meters import interleaved as turns


def timing(*milliseconds):
    return Timing(median=0, low=0, high=0, milliseconds=milliseconds, runs=1)


class Machine:
    """A clock that only runs move, and files that take `milliseconds`, `slower` times as long from
    the second round on.
    """

    def __init__(self, monkeypatch, *milliseconds, slower=1.0):
        self.now, self.log, self.slower, self.left = 0.0, "", slower, list(milliseconds)
        self.threads, self.runtimes = [], []
        monkeypatch.setattr(turns, "perf_counter", lambda: self.now)
        monkeypatch.setattr(latency, "runner", self.runner)

    def runner(self, content, inputs, threads, runtime):
        name, milliseconds, runs = (
            "ABC"[3 - len(self.left)] if len(self.left) < 3 else "A",
            self.left.pop(0),
            0,
        )
        self.threads.append(threads)
        self.runtimes.append(runtime)

        def run():
            nonlocal runs
            runs += 1
            self.log += name
            self.now += milliseconds / 1e3 * (self.slower if runs > 2 else 1)

        return run


def test_several_files_take_turns(linear, monkeypatch):
    machine = Machine(monkeypatch, 30.0, 60.0, 90.0)
    a, b, c = alternate([linear.path] * 3, linear.task, rounds=4, warm_up=1)
    assert machine.log == "ABC" + "ABC" * 4
    assert (a.runs, len(a.milliseconds)) == (1, 4)
    assert [one.median for one in (a, b, c)] == pytest.approx([30, 60, 90])
    assert ratio(b, a).median == pytest.approx(2)


def test_a_fast_model_is_run_many_times_a_sample(linear, monkeypatch):
    machine = Machine(monkeypatch, 0.03125, 0.5, 30.0)
    found = alternate([linear.path] * 3, linear.task, rounds=2, warm_up=1)
    # 32 and 2 runs take a millisecond; before each of these samples there is a run that is not
    # timed.
    assert [one.runs for one in found] == [32, 2, 1]
    assert machine.log == "ABC" + ("A" * 33 + "B" * 3 + "C") * 2
    assert [one.median for one in found] == pytest.approx([0.03125, 0.5, 30.0])


def test_threads_get_a_rest_before_the_next_file(linear, monkeypatch):
    rests = []
    monkeypatch.setattr(turns, "sleep", rests.append)
    machine = Machine(monkeypatch, 30.0, 0.5, 0)
    found = alternate([linear.path] * 2, linear.task, rounds=2, warm_up=1, threads=2)
    assert rests == [0.05] * 4
    assert [one.runs for one in found] == [1, 20]  # at least ten milliseconds
    assert machine.threads == [2, 2]


def test_a_runtime_for_all_or_one_for_each(linear, monkeypatch):
    machine = Machine(monkeypatch, 1.0, 2.0, 0)
    alternate([linear.path] * 2, linear.task, rounds=1, runtime=OpenVINO())
    assert machine.runtimes == [OpenVINO()] * 2
    machine = Machine(monkeypatch, 1.0, 2.0, 0)
    alternate([linear.path] * 2, linear.task, rounds=1, runtime=[OnnxRuntime(), OpenVINO()])
    assert machine.runtimes == [OnnxRuntime(), OpenVINO()]
    with pytest.raises(
        ValueError, match="1 runtimes for 2 paths: give one for all, or one for each"
    ):
        alternate([linear.path] * 2, linear.task, runtime=[OpenVINO()])


def test_openvino_is_timed_beside_onnx_runtime(linear):
    pytest.importorskip(
        "openvino", reason="openvino is not installed: pip install 'shoestring[openvino]'"
    )
    ours, theirs = alternate(
        [linear.path] * 2, linear.task, rounds=5, runtime=[OnnxRuntime(), OpenVINO()]
    )
    assert ratio(theirs, ours).median > 0
    cost = Latency(repeats=3, runtime=OpenVINO(), reference=linear.path)(linear.path, linear.task)
    assert cost.milliseconds is not None and cost.milliseconds > 0


@pytest.mark.parametrize(
    ("runtime", "said"),
    [("openvino", "runtime is 'openvino'"), (OpenVINO, "runtime is the class OpenVINO")],
)
def test_a_runtime_is_a_type_with_brackets(linear, runtime, said):
    with pytest.raises(TypeError, match=f"{said}: give OnnxRuntime\\(\\) or OpenVINO\\(\\)"):
        Latency(runtime=runtime)
    with pytest.raises(TypeError, match=said):
        alternate([linear.path], linear.task, runtime=runtime)


def test_as_many_rounds_as_fit_the_time_and_seven_at_least(linear, monkeypatch):
    Machine(monkeypatch, 100.0, 25.0, 1.0)
    assert (
        len(alternate([linear.path] * 2, linear.task, seconds=2.4)[0].milliseconds) == 20
    )  # 125 ms a round
    Machine(monkeypatch, 5000.0, 1.0, 1.0)
    assert len(alternate([linear.path], linear.task, warm_up=3)[0].milliseconds) == 7


def test_another_clock_leaves_out_what_the_machine_did_for_others(monkeypatch):
    """Of two functions that take the same, one waits nine times as long in between."""
    busy, waited = [0.0], [0.0]
    monkeypatch.setattr(turns, "perf_counter", lambda: busy[0] + waited[0])

    def run(waiting: float):
        def once() -> None:
            busy[0] += 2e-3
            waited[0] += waiting

        return once

    runs = [run(0.0), run(18e-3)]
    first, second = turns.in_turn(runs, rounds=7)
    assert ratio(second, first).median == pytest.approx(10)
    first, second = turns.in_turn(runs, rounds=7, clock=lambda: busy[0])
    assert ratio(second, first).median == pytest.approx(1)


def test_another_clock_is_of_one_thread(linear):
    with pytest.raises(ValueError, match="sees one thread alone, here: give threads=1, not 2"):
        alternate([linear.path], linear.task, threads=2, clock=lambda: 0.0)


def test_a_meter_takes_another_clock(linear):
    ticks = count()
    meter = Latency(repeats=3, clock=lambda: float(next(ticks)))
    assert meter(linear.path, linear.task).milliseconds == pytest.approx(1000)  # a tick each run
    assert "clock=ThreadTime())" in repr(Latency(clock=ThreadTime()))
    cost = Latency(repeats=3, clock=ThreadTime())(linear.path, linear.task)
    assert cost.milliseconds is not None and cost.milliseconds > 0


def test_drift_leaves_the_ratio_alone():
    # The machine slows down from round to round: the medians of either mean little, each pair still
    # says 2.
    assert ratio(timing(2, 4, 8, 16), timing(1, 2, 4, 8)) == Ratio(median=2, low=2, high=2)


def test_the_ratio_is_the_median_of_the_pairs_with_its_quartiles():
    # 1/2, 2/2, 3/2, 4/2, 5/2
    assert ratio(timing(1, 2, 3, 4, 5), timing(2, 2, 2, 2, 2)) == Ratio(
        median=1.5, low=1.0, high=2.0
    )
    assert str(Ratio(median=0.5213, low=0.5, high=0.55)) == "0.521 (0.5 to 0.55)"


def test_timings_of_different_lengths_are_no_pairs():
    with pytest.raises(ValueError, match=r"alternate\(\)"):
        ratio(timing(1, 2), timing(1))


def test_a_real_file_takes_time(linear):
    cost = Latency(repeats=3, batch=2)(linear.path, linear.task)
    assert cost.milliseconds is not None and cost.milliseconds > 0
    assert cost == Cost(milliseconds=cost.milliseconds)
    first, second = alternate([linear.path, linear.path], linear.task, rounds=5, threads=None)
    for one in (first, second):
        assert 0 < one.low <= one.median <= one.high
        assert len(one.milliseconds) == 5
    assert ratio(first, second).median > 0


def test_a_reference_takes_out_what_slows_the_machine(linear, monkeypatch, tmp_path):
    reference = tmp_path / "reference.shoe"
    reference.write_bytes(linear.path.read_bytes())
    meter = Latency(repeats=3, warm_up=2, reference=reference)
    Machine(monkeypatch, 60.0, 30.0, 0)
    assert meter(linear.path, linear.task).milliseconds == pytest.approx(60)
    # Later everything takes three times as long: the model is still twice the reference, which took
    # 30 ms at first.
    machine = Machine(monkeypatch, 60.0, 30.0, 0, slower=3.0)
    assert meter(linear.path, linear.task).milliseconds == pytest.approx(60)
    assert machine.threads == [1, 1]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"threads": 0}, "threads is 0: give an integer of 1 or more, or None for all cores"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"batch": 0}, "batch is 0"),
        ({"repeats": -1}, "repeats is -1"),
        ({"warm_up": 0}, "warm_up is 0"),
        ({"batch": True}, "batch is True"),
        ({"clock": ThreadTime(), "threads": None}, "give threads=1, not None"),
        ({"clock": ThreadTime(), "runtime": OpenVINO()}, "another clock is for ONNX Runtime"),
    ],
)
def test_bad_settings(setting, said):
    with pytest.raises(ValueError, match=said):
        Latency(**setting)


@pytest.mark.parametrize("paths", [[], "model.shoe"])
def test_no_files(linear, paths):
    with pytest.raises(ValueError, match="a list of one path or more"):
        alternate(paths, linear.task)


def test_bad_seconds(linear):
    with pytest.raises(ValueError, match="seconds is 0"):
        alternate([linear.path], linear.task, seconds=0)


def test_missing_and_damaged(linear, damaged, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.shoe"):
        Latency()(tmp_path / "nowhere.shoe", linear.task)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.shoe"):
        Latency(reference=tmp_path / "nowhere.shoe")(linear.path, linear.task)
    with pytest.raises(ShoeError):
        Latency()(damaged, linear.task)


def test_an_interval_around_1_that_spans_an_order_of_magnitude_tells_nothing():
    assert str(Ratio(median=0.9, low=0.3, high=3.1)) == "too noisy to tell (0.3 to 3.1)"
    assert str(Ratio(median=0.9, low=0.4, high=3.1)) == "0.9 (0.4 to 3.1)"
    assert str(Ratio(median=0.05, low=0.01, high=0.9)) == "0.05 (0.01 to 0.9)"  # faster it is
