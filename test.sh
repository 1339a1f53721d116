#!/usr/bin/env bash
# Install what is needed into .venv (nothing outside this folder) and run the tests; with --all the slow ones too.
# Other arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")"
. ./install.sh -e ".[dev]"
export OMP_NUM_THREADS=1  # many small steps: more threads only wait for each other
if [ -z "${SHOESTRING_DATA:-}" ] && [ -d ../shared/data ]; then
    export SHOESTRING_DATA="$PWD/../shared/data"
fi
# A process for each core, four at most. What runs out of work takes it from the others.
exec .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist worksteal --durations 15 "$@"
