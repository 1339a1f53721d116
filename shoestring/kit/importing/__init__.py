"""From anybody's ONNX file to a module, or to a file of ours."""
