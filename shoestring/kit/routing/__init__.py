"""Networks of which only a part is computed for an example: rows chosen, and put back."""
