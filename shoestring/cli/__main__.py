"""python -m shoestring.cli is the same as shoestring."""

from shoestring.cli import main

if __name__ == "__main__":
    main()
