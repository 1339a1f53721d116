"""Labels from Label Studio, a network that learns them, and its questions back to Label Studio.

`python examples/14_from_and_to_label_studio.py [STEPS]`. Half a minute on one core. Put the export
of your own project in the place of `export.json`; texts work as pictures do. Import the file that
is written, and order the tasks by the score of their predictions: the next labels are then those of
which the network is least sure, which is what the paid edition sells.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from shoestring import prove, save
from shoestring.core import evaluating, score, seeded
from shoestring.kit import train
from shoestring.label import Annotation, Choice
from shoestring.label.formats import read, write
from shoestring.recipes.collected import collected
from shoestring.recipes.own_data import own_data
from shoestring.tasks import digits


def main(steps: int = 300) -> None:
    folder = Path("digits")
    folder.mkdir(exist_ok=True)
    # What a project looks like in which 300 of some hundred pictures have a label.
    whole = collected(digits(), folder)
    some = [
        one if place < 300 else replace(one, annotations=())
        for place, one in enumerate(one for one in whole.examples if not one.split)
    ]
    held = [one for one in whole.examples if one.split]
    held = [replace(one, split="test") if at % 2 else one for at, one in enumerate(held)]
    for note in write(replace(whole, examples=(*some, *held)), folder / "export.json"):
        print(note)

    collection = read(folder / "export.json")
    print(*collection.notes, sep="\n")
    own = own_data(collection)
    with seeded(0):
        model = train(own.model, own.task.sealed(), replace(own.training, steps=steps))
    print(f"validation score: {score(own.task.sealed(), model):.3f}")
    save(model, own.task.sealed(), "digits.shoe")
    print(f"test score of the file: {prove('digits.shoe', own.task):.3f}")

    pool = own.task.pool()
    with evaluating(model):
        sure = own.task.outputs(model, own.task.inputs(pool)).softmax(1)
    questions = {}
    for index, probabilities in zip(pool, sure, strict=True):
        two = probabilities.topk(2)
        guess = Annotation(
            labels=(Choice(name=own.names[int(two.indices[0])]),),
            by="digits-1",
            score=float(two.values[0]),
        )
        questions[own.examples[index]] = (guess, 1 - float(two.values[0] - two.values[1]))
    asked = [
        replace(one, predictions=(questions[one.name][0],), priority=questions[one.name][1])
        for one in collection.examples
        if one.name in questions
    ]
    asked.sort(key=lambda one: -(one.priority or 0))
    write(replace(collection, examples=tuple(asked)), folder / "tasks.json")
    print(
        f"{len(asked)} tasks in {folder / 'tasks.json'}, and {folder / 'tasks.xml'} to label them"
    )
    first = read(folder / "tasks.json").examples[0]
    print(
        f"asked first: {first.name}, of which the network is {first.predictions[0].score:.0%} sure"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
