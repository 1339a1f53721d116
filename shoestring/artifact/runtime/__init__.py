"""Running a file with ONNX Runtime, with our own kernels between its runs, or with OpenVINO."""
