"""A small network of your own that learns from a large one, also from its file alone.

`python examples/06_a_student.py [STEPS]`. Half a minute on one core. Put your own module, your own
task and the path of your own model in their places.
"""

from __future__ import annotations

import sys

from torch import nn

from shoestring import load, prove, save
from shoestring.core import apply, score, seeded
from shoestring.distill import Given, Narrower, Student, cached
from shoestring.kit import AdamW, Training, train
from shoestring.models import DigitsLeNet
from shoestring.tasks import digits


def small() -> nn.Module:
    """The network that must do: 64 → 32 → 10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


def main(steps: int = 600) -> None:
    task, training = digits(), Training(steps, AdamW(3e-3))
    with seeded(0):
        model = train(DigitsLeNet(), task.sealed(), training, what="training the teacher")
        alone = train(small(), task.sealed(), training, what="training the student alone")
    print(f"teacher {score(task, model):.4f}, student alone {score(task, alone):.4f}")

    # As a technique: the student is yours, or the model itself with narrower layers.
    for network in (Given(small), Narrower(0.25)):
        made = apply(Student(network=network, training=training), model, task)
        size = save(made, task, "student.shoe")
        print(f"{network}: {size:,} bytes, score {score(task, load('student.shoe')):.4f}")

    # From a file: no class of the teacher is needed, and each image is asked about once.
    save(model, task, "teacher.shoe")
    teacher = cached("teacher.shoe", "answers")
    print(teacher.fill(task))
    with seeded(0):
        student = train(small(), task.sealed().taught_by(teacher), training)
    save(student, task, "student.shoe")
    print(f"taught by the file: {score(task, load('student.shoe')):.4f}")
    print(f"test score of the file: {prove('student.shoe', task):.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
