"""The boards: cores with their compilers and emulators, startup code, linker scripts, programs."""
