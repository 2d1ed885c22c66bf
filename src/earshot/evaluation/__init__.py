"""Metrics with intervals, calibration, and the plots one would rather look at."""
