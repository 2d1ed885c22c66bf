"""Labels that the project gives itself, and no class of a data set may have."""

UNKNOWN = "unknown"
"""The answer to a sound that is none of the classes."""

BACKGROUND = "(background)"
"""Of extra training clips that are none of the classes. Their class number is the one after the last class's."""
