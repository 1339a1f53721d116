"""Snorkel's majority vote and label model on votes: JSON in, JSON out."""

import json
import sys
import time

import numpy as np
from snorkel.labeling.model import LabelModel, MajorityLabelVoter

matrix, classes = json.load(sys.stdin)
votes = np.array(matrix)
began = time.process_time()
model = LabelModel(cardinality=classes, verbose=False)
model.fit(votes, n_epochs=500, seed=0, progress_bar=False)
belief = model.predict_proba(votes)
seconds = time.process_time() - began
plain = MajorityLabelVoter(cardinality=classes).predict_proba(votes)
beliefs = {"snorkel LabelModel": belief.tolist(), "snorkel MajorityLabelVoter": plain.tolist()}
print(json.dumps({"beliefs": beliefs, "seconds": seconds}))
