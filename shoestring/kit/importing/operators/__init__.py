"""What torch does for each ONNX operator: one table, from one file for each kind of operator."""
