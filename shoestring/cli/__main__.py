"""`python -m shoestring.cli`: the program."""

from shoestring.cli import main

main()
