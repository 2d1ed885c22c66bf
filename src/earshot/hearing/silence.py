"""What counts as silence, everywhere: in the audit of files, in answers and in timelines."""

SILENCE_DB = -60.0  # decibels of full scale: a sound with a lower peak holds nothing to be recognised
SILENCE_PEAK = 10 ** (SILENCE_DB / 20)  # the same, full scale at 1
