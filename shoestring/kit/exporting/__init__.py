"""From a module to a file and back: export, lowering, what the exporter assumed, restoring."""
