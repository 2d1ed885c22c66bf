"""From checkpoint to a released INT8 file: export, quantization, parity gate, release."""
