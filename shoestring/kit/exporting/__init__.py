"""Export a module to a file, check what the export assumed, and restore a module from a file."""
