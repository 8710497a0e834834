"""A policy for other tools: standard ONNX, a C project for a board."""
