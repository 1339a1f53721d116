"""`shoestring` and `python -m shoestring`: it starts the command line, which may be interrupted.

Importing the command line takes a quarter of a second. Ctrl-C in that time ends it without a
traceback, as later.
"""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from shoestring.cli import main as run
    except KeyboardInterrupt:
        print("interrupted: nothing was written; the same command begins again", file=sys.stderr)
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
