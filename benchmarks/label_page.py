"""A scripted annotator at the labelling page, in Chromium without a window.

    python benchmarks/label_page.py

Two sessions label 1,000 handwritten digits (the embedded ones, as pictures) between them by keys,
while the server is killed (-9) five times, started again on the same file, and a model learns in
the background; every answer is the true class. Then the rows are counted. The baseline is a page
that waits for the server at each label: the same examples, one request for each. Milliseconds go
from the key to the frame that shows the next example. `--quick`: 200 labels, two kills.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import parse_qs, urlsplit

from rows import Rows, start

from shoestring.label.collect import Store
from shoestring.recipes.collected import collected
from shoestring.tasks import digits

ROOT = Path(__file__).resolve().parents[1]
SOURCE = "shoestring.tasks:digits"
SUBJECT = "two sessions, killed"
LEARNING = "one session, a model learns"
LABELS, KILLS = 1000, 5
QUICK_LABELS, QUICK_KILLS = 200, 2
TRUE = """(truth) => {
    const root = document.documentElement;
    window.log = [];
    window.labelled = 0;
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    window.work = async (count) => {
        const begun = performance.now();
        for (let at = 0; at < count; at += 1) {
            while (!root.dataset.shown || root.dataset.painted !== root.dataset.shown) {
                await frame();
            }
            const key = truth[document.getElementById("example-name").textContent];
            const learning = document.querySelector("[data-learning=true]") !== null;
            const press = performance.now();
            const given = { key, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new KeyboardEvent("keydown", given));
            await frame();
            window.log.push([performance.now() - press, learning]);
            window.labelled += 1;
        }
        window.seconds = (performance.now() - begun) / 1000;
        return count;
    };
}"""


class Served:
    """The command as a process, which can be killed and started again on its port."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder, self.more, self.port = folder, more, 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "shoestring", "label", SOURCE, "--no-browser", *self.more]
        port = ["--port", str(self.port)] if self.port else []
        self.process = subprocess.Popen(
            [*command, *port],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "until Ctrl-C" in line:
                self.address = line.split()[4]
                self.port = int(urlsplit(self.address).port or 0)
                return
        raise RuntimeError("the command ended before its page was there")

    def kill(self) -> None:
        """End it as a power cut would, and start it again."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()
        self.start()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)


def main() -> None:
    rows = start("label_page", "digits-chromium", __doc__ or "")
    sys.path.insert(0, str(ROOT / "tests"))
    count, kills = (QUICK_LABELS, QUICK_KILLS) if rows.quick else (LABELS, KILLS)
    with tempfile.TemporaryDirectory() as folder:
        if not rows.done(SUBJECT, None) and rows.wanted(SUBJECT):
            sessions(rows, Path(folder), count, kills)
        if not rows.done(LEARNING, None) and rows.wanted(LEARNING):
            beside(rows, Path(folder), count // 2)
        if not rows.done("one session", None) and rows.wanted("one session"):
            alone(rows, Path(folder), count // 4)
    rows.close()


def truth_of(folder: Path) -> dict[str, str]:
    """The key of the true class of each example: a digit is on the key of its name."""
    said = collected(digits(), folder / "truth")
    return {one.name: one.annotations[0].labels[0].name for one in said.examples}


def sessions(rows: Rows, folder: Path, count: int, kills: int) -> None:
    """Two people at once, and a server that is killed."""
    import real_browser

    truth, served = truth_of(folder), Served(folder)
    try:
        with (
            real_browser.started() as chromium,
            real_browser.visiting(chromium) as ann,
            real_browser.visiting(chromium) as bob,
        ):
            for seen, by in ((ann, "ann"), (bob, "bob")):
                seen.open(f"{served.address}&by={by}")
                seen.page.wait_for_function("() => document.documentElement.dataset.painted")
                seen.page.evaluate(TRUE, truth)
                seen.page.evaluate(f"() => {{ window.work({count // 2}); }}")
            done, killed = 0, 0
            while done < count:
                sleep(0.05)
                done = sum(seen.page.evaluate("() => window.labelled") for seen in (ann, bob))
                if killed < kills and done > count * (killed + 1) // (kills + 1):
                    served.kill()
                    killed += 1
            for seen in (ann, bob):
                seen.page.wait_for_function(
                    "() => document.documentElement.dataset.waiting === '0'", timeout=60_000
                )
            log = [one for seen in (ann, bob) for one in seen.page.evaluate("() => window.log")]
            seen_seconds = [seen.page.evaluate("() => window.seconds") for seen in (ann, bob)]
    finally:
        served.stop()
    with closing(Store(folder / "digits.labels")) as store:
        answers, curve = store.answers(), store.curve()
    names = {one.name: one for one in collected(digits(), folder / "truth").examples}
    wrong = sum(one.labels != names[one.example].annotations[0].labels for one in answers)
    rows.add(SUBJECT, "labels given", count, "labels")
    rows.add(SUBJECT, "kills", killed, "kills")
    rows.add(SUBJECT, "rows", len(answers), "rows")
    rows.add(SUBJECT, "examples with two rows", _twice(answers), "examples")
    rows.add(SUBJECT, "rows with another class", wrong, "rows")
    seconds = max(seen_seconds)
    rows.add(SUBJECT, "seconds, with the kills", seconds, "s", timed=True)
    rows.add(SUBJECT, "points of the curve", len(curve), "points")
    during = [time for time, learning in log if learning]
    for what, times in (("all", [time for time, _ in log]), ("while it learns", during)):
        _times(rows, SUBJECT, what, times)
    rows.add(SUBJECT, "done", 1, "")


def _twice(answers: list) -> int:
    return sum(times > 1 for times in Counter(one.example for one in answers).values())


def _times(rows: Rows, subject: str, what: str, times: list[float]) -> None:
    if not times:
        return
    ordered = sorted(times)
    rows.add(subject, f"keys, {what}", len(times), "keys")
    for name, share in (("median", 0.5), ("p95", 0.95)):
        at = min(int(share * len(ordered)), len(ordered) - 1)
        rows.add(subject, f"key to next example, {what}, {name}", ordered[at], "ms", timed=True)


def beside(rows: Rows, folder: Path, count: int) -> None:
    """One person as fast as the page takes keys, while a model learns."""
    log, seconds = _one_session(folder / "beside", count, truth_of(folder))
    rows.add(LEARNING, "labels a second", count / seconds, "labels/s", timed=True)
    _times(rows, LEARNING, "while it learns", [time for time, learning in log if learning])
    rows.add(LEARNING, "done", 1, "")


def alone(rows: Rows, folder: Path, count: int) -> None:
    """One person as fast as the page takes keys; and the same by one request for each label."""
    truth = truth_of(folder)
    log, seconds = _one_session(folder / "alone", count, truth, "--no-model")
    rows.add("one session", "labels a second", count / seconds, "labels/s", timed=True)
    _times(rows, "one session", "all", [time for time, _ in log])
    rows.add("one session", "done", 1, "")
    (folder / "waits").mkdir()
    served = Served(folder / "waits", "--no-model")
    try:
        _waiting(rows, served, truth, count)
    finally:
        served.stop()


def _one_session(
    folder: Path, count: int, truth: dict[str, str], *more: str
) -> tuple[list[tuple[float, bool]], float]:
    """For each key the milliseconds, and whether a model learned; and the seconds in all."""
    import real_browser

    folder.mkdir()
    served = Served(folder, *more)
    try:
        with real_browser.started() as chromium, real_browser.visiting(chromium) as seen:
            seen.open(f"{served.address}&by=ann")
            seen.page.wait_for_function("() => document.documentElement.dataset.painted")
            seen.page.evaluate(TRUE, truth)
            seen.page.evaluate(f"() => window.work({count})")
            return seen.page.evaluate("() => window.log"), seen.page.evaluate(
                "() => window.seconds"
            )
    finally:
        served.stop()


def _waiting(rows: Rows, served: Served, truth: dict[str, str], count: int) -> None:
    """The baseline: next example, label, wait until it is on the disk."""
    parts = urlsplit(served.address)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    headers = {
        "X-Shoestring-Token": parse_qs(parts.query)["token"][0],
        "Content-Type": "application/json",
    }

    def ask(path: str, body: dict) -> dict:
        connection.request("POST", path, json.dumps(body), headers)
        return json.loads(connection.getresponse().read())

    times = list[float]()
    for at in range(count):
        began = monotonic()
        asked = {"by": "bob", "session": "waits", "held": [], "want": 1}
        (one,) = ask("/api/next", asked)["examples"]
        answer = {"id": f"waiting-{at:05}", "example": one["name"], "by": "bob"}
        sent = {
            "session": "waits",
            "answers": [{**answer, "labels": [{"name": truth[one["name"]]}]}],
        }
        assert ask("/api/answers", sent)["stored"]
        times.append(1000 * (monotonic() - began))
    connection.close()
    _times(rows, "a request for each label", "all", times)


if __name__ == "__main__":
    main()
