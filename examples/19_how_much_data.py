"""How much data a score takes: forecast from small runs, and then looked at.

`python examples/19_how_much_data.py [STEPS [POINTS.csv]]`. Half a minute on one core. POINTS.csv
has scores that you measured, in the columns size,score or size,score,seed; without it, a small
network is trained on parts of the training data of handwritten digits, 600 STEPS for all of it. At
the end the network is trained on all the data, to see whether the forecast was right.
"""

from __future__ import annotations

import sys

from shoestring import load
from shoestring.core import score
from shoestring.kit import Training, save, train
from shoestring.models import DigitsLeNet
from shoestring.plan import Outlook, affordable, read_points, scaling, small_runs
from shoestring.tasks import digits

TARGET = 0.97


def main(steps: int = 600, points: str = "") -> None:
    task, training = digits(), Training(steps)
    if points:
        unit, measured = read_points(points)
        found = scaling(measured)
        print(Outlook(found=found, sizes=[10 * found.largest], unit=unit, target=TARGET))
        return
    runs = small_runs(DigitsLeNet(), task, share=0.3, training=training, say=print)
    found = scaling(runs.points, chance=runs.chance)
    sizes = [runs.examples, 2 * runs.examples, 10 * runs.examples]
    print(Outlook(found=found, sizes=sizes, target=TARGET, price=0.05))
    model = train(DigitsLeNet(), task.sealed(), training)
    print(f"trained on all {runs.examples:,}: {score(task.sealed(), model):.4f} on validation data")
    save(model, task, "digits.shoe")
    print(f"test score of the file: {score(task, load('digits.shoe'), 'test'):.4f}")
    print(f"a hundred times the compute: {affordable(100, 1, 1.5):.1f} years of doublings away")


if __name__ == "__main__":
    steps, points = (*sys.argv[1:], *("600", "")[len(sys.argv) - 1 :])
    main(int(steps), points)
