"""Packed checkpoints: `.safetensors` files in and out."""
