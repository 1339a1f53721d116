#!/usr/bin/env bash
# Install what is needed into .venv (nothing outside this folder) and shrink a network that is trained on the spot.
# What follows the command goes to `shoestring compress`: bash try.sh --budget "size<=3KB"
set -euo pipefail
cd "$(dirname "$0")"
. ./install.sh ".[train]"
exec .venv/bin/shoestring compress "$@"
