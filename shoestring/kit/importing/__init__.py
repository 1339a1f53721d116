"""ONNX files of any origin are imported as modules, or packed as `.shoe` files."""
