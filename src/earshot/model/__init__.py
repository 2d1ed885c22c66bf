"""An ONNX file as the project makes it: its session in onnxruntime, its card, its scores."""
