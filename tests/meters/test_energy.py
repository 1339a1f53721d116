import pytest

from shoestring.artifact import ShoeError
from shoestring.core import Cost
from shoestring.meters import Energy, energy


@pytest.fixture
def zone(tmp_path):
    """Makes a counter in a folder like Linux's, simulated: this machine may have none."""

    def make(folder, name, microjoules, largest=262_143_328_850):
        made = tmp_path / "powercap" / folder
        made.mkdir(parents=True)
        for file, content in (
            ("name", name),
            ("energy_uj", microjoules),
            ("max_energy_range_uj", largest),
        ):
            (made / file).write_text(f"{content}\n")
        return made

    return make


@pytest.fixture
def runs(monkeypatch):
    """Each run moves the clock by a second and the counters by what is asked for, which start again
    past their range.
    """
    clock, uses = [0.0], {}

    def run():
        clock[0] += 1.0
        for made, microjoules in uses.items():
            now = int((made / "energy_uj").read_text()) + microjoules
            (made / "energy_uj").write_text(
                str(now % int((made / "max_energy_range_uj").read_text()))
            )

    monkeypatch.setattr(energy, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(energy, "runner", lambda content, inputs, threads: run)
    return uses


def test_packages_are_added_up_and_shared_by_the_runs(linear, zone, runs, tmp_path):
    runs |= {
        zone("intel-rapl:0", "package-0", 1000): 500,
        zone("intel-rapl:1", "package-1", 7): 250,
    }
    # What is inside a package, or all around it, must not count twice.
    runs |= {
        zone("intel-rapl:0:0", "core", 0): 90,
        zone("intel-rapl:2", "psys", 0): 900,
        zone("intel-rapl-mmio:0", "package-0", 0): 9,
    }
    cost = Energy(root=tmp_path / "powercap", seconds=8)(linear.path, linear.task)
    assert cost == Cost(joules=pytest.approx(750e-6))


def test_a_counter_that_starts_again(linear, zone, runs, tmp_path):
    # After the run that warms up it stands at 900 of 1,000; two runs of 300 bring it to 500, past
    # the end.
    runs |= {zone("intel-rapl:0", "package-0", 600, largest=1000): 300}
    cost = Energy(root=tmp_path / "powercap", seconds=2)(linear.path, linear.task)
    assert cost.joules == pytest.approx(300e-6)


def test_the_arithmetic_of_two_readings(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    assert energy.joules({a: 100, b: 900}, {a: 400, b: 50}, {a: 1000, b: 1000}) == pytest.approx(
        450e-6
    )


def test_a_real_run_against_a_counter_that_stands_still(linear, zone, tmp_path):
    zone("intel-rapl:0", "package-0", 5)
    assert Energy(root=tmp_path / "powercap", seconds=0.01)(linear.path, linear.task) == Cost(
        joules=0.0
    )


def test_unmeasured_where_there_are_no_counters(linear, tmp_path):
    meter = Energy(root=tmp_path / "none")
    assert meter(linear.path, linear.task) == Cost()
    assert "no energy counters" in str(meter.why_not())


@pytest.mark.parametrize("broken", ["", "not a number"])
def test_unmeasured_where_they_cannot_be_read(linear, zone, tmp_path, broken):
    made = zone("intel-rapl:0", "package-0", 5)
    (made / "energy_uj").unlink()
    if broken:
        (made / "energy_uj").write_text(broken)
    meter = Energy(root=tmp_path / "powercap")
    assert meter(linear.path, linear.task) == Cost()
    assert "cannot be read" in str(meter.why_not())


@pytest.mark.parametrize(
    ("setting", "said"),
    [({"threads": 0}, "threads"), ({"batch": 0}, "batch"), ({"seconds": -1}, "above 0")],
)
def test_bad_settings(setting, said):
    with pytest.raises(ValueError, match=said):
        Energy(**setting)


def test_missing_and_damaged(linear, damaged, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.shoe"):
        Energy()(tmp_path / "nowhere.shoe", linear.task)
    with pytest.raises(ShoeError):
        Energy()(damaged, linear.task)
