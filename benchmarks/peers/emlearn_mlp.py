"""emlearn: C from a multi-layer perceptron of scikit-learn.

pip install emlearn==0.23.2 scikit-learn

PYTHON emlearn_mlp.py GIVEN OUT    GIVEN/dense.npz (w0, b0, w1, ...; inputs along axis 0) becomes
                                   OUT/model.c, with the function `peer`, which writes the class;
                                   versions, the folder of its headers or the error go to
                                   OUT/result.json; what it compiles meanwhile, to OUT/tmp
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import warnings
from pathlib import Path

import emlearn  # pyright: ignore[reportMissingImports]
import numpy as np
from sklearn.neural_network import MLPClassifier

PEER = """#include "network.h"
void peer(const float *input, float *output);
void peer(const float *input, float *output)
{{
    output[0] = (float)network_predict(input, {size});
}}
"""


def main(given: Path, out: Path) -> None:
    arrays = np.load(given / "dense.npz")
    weights = [arrays[f"w{i}"] for i in range(len(arrays.files) // 2)]
    biases = [arrays[f"b{i}"] for i in range(len(weights))]
    found = {"versions": f"emlearn {importlib.metadata.version('emlearn')}"}
    inputs, classes = weights[0].shape[0], weights[-1].shape[1]
    hidden = tuple(one.shape[1] for one in weights[:-1])
    model = MLPClassifier(hidden_layer_sizes=hidden, activation="relu", max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draw = np.random.default_rng(0)
        model.fit(draw.normal(size=(2 * classes, inputs)), np.arange(2 * classes) % classes)
    model.coefs_, model.intercepts_ = weights, biases
    os.chdir(out)  # it compiles into `tmp` of the working folder
    emlearn.convert(model, method="inline").save(file=str(out / "network.h"), name="network")
    (out / "model.c").write_text(PEER.format(size=inputs))
    found["include"] = str(Path(str(emlearn.__file__)).parent)
    (out / "result.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).resolve())
