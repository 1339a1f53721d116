"""Classical models on labels drawn at random: the cheapest baseline beside `active_learning.py`.

`python benchmarks/active_learning_classical.py`: a few minutes on one core. Pools, first labels and
the numbers of labels are those of `Random` there. Logistic regression sees which words (on TREC
also which pairs) a text has; a support vector machine sees pixels. Both have the settings that
scikit-learn gives them, and nothing is tuned.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from active_learning_sets import SETS, start_of
from rows import start
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from shoestring.core import seeded
from shoestring.core.labels import label_task
from shoestring.label import Random, purchases

SEEDS = 20
MODELS: dict[str, Any] = {
    "digits": lambda: SVC(),
    "MNIST": lambda: SVC(),
    "SST-2": lambda: LogisticRegression(max_iter=1000),
    "TREC": lambda: LogisticRegression(max_iter=1000),
}


def main() -> None:
    rows = start("active_learning_classical", "digits-mnist-sst2-trec-cpu", __doc__ or "")
    torch.set_num_threads(1)
    for name, model in MODELS.items():
        if rows.quick and name != "digits":
            continue
        one = SETS[name]
        whole = one.task()
        subject = f"{name}, {type(model()).__name__}"
        assert whole.test is not None
        test_inputs, test_targets = whole.test
        test = features(test_inputs)
        for seed in range(2 if rows.quick else SEEDS):
            if not rows.wanted(subject) or rows.done(subject, seed):
                continue
            with seeded(seed):
                network = one.network()
            draws = Random(
                labels=one.labels, rounds=one.rounds, training=replace(one.training, steps=1)
            )
            scores = []
            with seeded(seed):
                for _, now in purchases(draws, network, start_of(one, whole, seed).sealed()):
                    task = label_task(now)
                    known = np.asarray(task.known())
                    (inputs,) = task.inputs(known)
                    fitted = model().fit(features(inputs), np.asarray(task.labels(known)))
                    right = fitted.predict(test) == np.asarray(test_targets)
                    scores.append(100 * float(right.mean()))
            rows.add(subject, "mean test score", round(float(np.mean(scores[1:])), 4), "%", seed)
            rows.add(subject, "last test score", round(scores[-1], 4), "%", seed)
            rows.add(subject, "done", 1, "", seed)
    rows.close()


def features(inputs: Any) -> Any:
    """Pixels as they are, N×P; of ids, 1 where a text has the id, N×60,000 at most."""
    values = inputs[0] if isinstance(inputs, tuple) else inputs
    values = np.asarray(values)
    if values.dtype.kind == "f":
        return values.reshape(len(values), -1)
    row, _ = np.nonzero(values)
    found = csr_matrix((np.ones(len(row)), (row, values[values != 0])), (len(values), 60_000))
    found.data[:] = 1
    return found


if __name__ == "__main__":
    main()
