"""Taking units out of a model: dependency groups, dead units, folded batch norm."""
