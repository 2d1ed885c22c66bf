"""What a deployed file said of clips whose labels are known: what confidence and thresholds are judged by."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file
from earshot.model.scores import known, softmax

FILE = "answers.npz"


@dataclass(frozen=True)
class Answers:
    """Clips of one part and the network's answers.

    Attributes:
        logits: (n, C) float32, uncalibrated.
        temperature: that they are divided by.
        labels: (n,) int, the true classes.
        recordings: (n,) str.
        background_logits: (n, 1) float32, of none of the classes; None for a network without.
    """

    logits: np.ndarray
    temperature: float
    labels: np.ndarray
    recordings: np.ndarray
    background_logits: np.ndarray | None = None

    @property
    def probabilities(self) -> np.ndarray:
        """Calibrated, float64 (n, C)."""
        return softmax(self.logits, self.temperature)

    @property
    def known(self) -> np.ndarray:
        """How surely each is of one of the classes, float64 (n,): `earshot.model.scores.known`."""
        return known(self.logits, self.background_logits, self.temperature)

    @property
    def uncalibrated(self) -> np.ndarray:
        """As the network gives them, float64 (n, C)."""
        return softmax(self.logits)


def save(answers: dict[str, Answers], classes: tuple[str, ...], path: Path) -> None:
    """Write the answers of some parts, by name; equal answers are equal bytes."""
    arrays = {
        f"{part}_{name}": np.asarray(value)
        for part, of_part in answers.items()
        for name, value in (
            ("logits", of_part.logits),
            ("temperature", of_part.temperature),
            ("labels", of_part.labels),
            ("recordings", np.asarray(of_part.recordings, dtype=str)),
            ("none", of_part.background_logits),
        )
        if value is not None
    }
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, classes=np.array(classes), **arrays)  # type: ignore[arg-type]  # its stubs want no mapping


def load(path: Path) -> tuple[dict[str, Answers], tuple[str, ...]]:
    """What `save` wrote: answers by part, and the classes.

    Raises:
        EarshotError: there is no such file.
    """
    if not path.is_file():
        raise EarshotError(f"{path} not found: run `dvc repro quantize` first")
    with np.load(path, allow_pickle=False) as kept:
        parts = sorted({name.split("_")[0] for name in kept.files if "_" in name})
        answers = {
            part: Answers(
                kept[f"{part}_logits"],
                float(kept[f"{part}_temperature"]),
                kept[f"{part}_labels"],
                kept[f"{part}_recordings"],
                kept[f"{part}_none"] if f"{part}_none" in kept.files else None,
            )
            for part in parts
        }
        return answers, tuple(kept["classes"].tolist())
