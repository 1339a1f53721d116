"""What torch does for each ONNX operator: one table, one file for each kind of operator."""
