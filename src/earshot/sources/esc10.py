"""ESC-10: the 400 clips of ESC-50 that are in ten of its classes, and under a freer licence."""

from functools import partial

from earshot.sources.esc50 import CITATION, URL, index, obtain, validate
from earshot.sources.source import Source

SOURCE = Source(
    "esc10", "ESC-10", "CC BY 3.0", CITATION, URL, partial(index, ten=True), partial(validate, ten=True), obtain, True
)
