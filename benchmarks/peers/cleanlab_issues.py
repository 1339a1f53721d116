"""cleanlab: which labels are wrong, and how long it takes.

pip install cleanlab==2.9.0

PYTHON cleanlab_issues.py    waits for lines on standard input, each a JSON object with `table`
                             and `labels` (files of numpy) and `filter_by`; answers each with a line
                             of JSON: `indices`, in its order, and the `seconds` of a core
"""

from __future__ import annotations

import json
import sys
from time import process_time

import numpy as np
from cleanlab.filter import find_label_issues  # pyright: ignore[reportMissingImports]

for line in sys.stdin:
    asked = json.loads(line)
    table, labels = np.load(asked["table"]), np.load(asked["labels"])
    began = process_time()
    found = find_label_issues(
        labels,
        table,
        filter_by=asked["filter_by"],
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    seconds = process_time() - began
    print(json.dumps({"indices": found.tolist(), "seconds": seconds}), flush=True)
