"""Lets tests import `samples` and what another folder's test defines."""

import sys
from pathlib import Path

for folder in sorted(Path(__file__).parent.glob("*/")):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
