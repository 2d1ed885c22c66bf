"""One JSON object a line on standard output. What was heard, file names and tokens never get here."""

import json
import logging
import sys
import time
from typing import Any

access = logging.getLogger("earshot.access")
events = logging.getLogger("earshot.service")


class JsonFormatter(logging.Formatter):
    """`extra={"fields": {...}}` become keys beside time, level, logger and message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure() -> None:
    """Send this service's log lines to standard output, whatever BentoML does with its own."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    for logger in (access, events):
        logger.handlers[:] = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.disabled = False
    # A broken form is the client's mistake, answered with 400 and counted; no line of its own.
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
