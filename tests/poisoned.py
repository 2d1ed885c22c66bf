"""An inspector that dies as a crashing decoder would. On its own, so that worker processes import little."""

import os

from earshot.audit.inspect import FileReport, inspect


def dies_on_poison(root: str, path: str, max_duration_s: float) -> FileReport:
    if "poison" in path:
        os._exit(139)
    return inspect(root, path, max_duration_s)
