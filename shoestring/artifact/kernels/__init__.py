"""Kernels that ONNX Runtime lacks: products of signs, compiled for the processor."""
