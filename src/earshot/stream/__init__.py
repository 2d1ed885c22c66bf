"""Samples of any length in, answers out: windows, events, and one answer for a whole sound."""
