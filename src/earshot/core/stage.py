"""What the entry points of the pipeline share: where parameters lie, and how a stage ends."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from earshot.core.errors import EarshotError

PARAMS = Path("params.yaml")  # every stage runs in the project's root
INTERRUPTED = 130  # what a shell reports for a process ended by Ctrl-C


def run(main: Callable[[], None]) -> NoReturn:
    """Run a stage's `main` and end the process: 0 if it returned, 1 with one clear message if the user can act.

    An EarshotError is printed without its traceback, since its message already says what to do. Every other
    exception is a defect of this project and keeps its traceback.
    """
    try:
        main()
    except EarshotError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr, flush=True)
        sys.exit(INTERRUPTED)
    sys.exit(0)
