"""The weight state of each parameter, and which weights a technique may touch."""
