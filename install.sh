# Sourced by try.sh and test.sh: an environment of its own in .venv, with what its arguments name.
# Without arguments, as when it is run by hand, that is what training needs.
[ $# -gt 0 ] || set -- ".[train]"
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or newer is needed: set PYTHON to one, as in PYTHON=python3.12 bash $0" >&2
    exit 1
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "installing into .venv (the first time this takes some minutes)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@"
