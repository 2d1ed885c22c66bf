"""From a network's outputs to answers: calibration, unknown, thresholds. What it needs lies on the model's card."""
