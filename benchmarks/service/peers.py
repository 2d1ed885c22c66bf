"""What Earshot is compared with on the same BentoML: a service that only takes uploads, and one that does nothing."""

from pathlib import Path

import bentoml


@bentoml.service(name="echo", workers=1)
class Echo:
    """Takes a file, as BentoML's manual shows it, and says how long it is: the ceiling for a service of uploads."""

    @bentoml.api(route="/classify")
    def classify(self, file: Path) -> dict[str, int]:
        """The length of a file in bytes."""
        return {"bytes": len(file.read_bytes())}


@bentoml.service(name="empty", workers=1)
class Empty:
    """Does nothing: what BentoML itself takes in memory and time."""

    @bentoml.api(route="/classify")
    def classify(self, text: str) -> str:
        """The text."""
        return text
