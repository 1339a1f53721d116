"""Running a file: ONNX Runtime, segments for our kernels, OpenVINO."""
