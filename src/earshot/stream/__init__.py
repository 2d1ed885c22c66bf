"""Audio in, ranked labels out, through onnxruntime alone (no torch)."""
