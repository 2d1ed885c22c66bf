"""A released model in onnxruntime: features in, calibrated probabilities out. No torch."""

from pathlib import Path

import numpy as np
import onnxruntime

from earshot.model.card import METADATA_KEY, Card, ModelError, probe_windows
from earshot.model.scores import softmax, window_scores


class Model:
    """One ONNX file, ready to answer.

    Sessions run on one thread: an answer is then bit-equal alone and in any batch, and a server scales by workers.

    Attributes:
        card: what the file says of itself.
        log_mel: the front end its input must be made with, already checked against the card.
        classes: names in the order of the outputs.
        probe_difference: of this machine's answers to the probe windows from those on the card, in probability.
    """

    def __init__(self, path: str | Path) -> None:
        """Load the ONNX file at `path`.

        Raises:
            ModelError: missing, not an ONNX model, not made by Earshot, made with another front end, or answering its
                probe windows otherwise on this machine.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise ModelError(f"no model at {path}: run `make repro` (or `dvc pull`) first")
        self._session = open_session(self.path)
        self.card = _card(self._session, self.path)
        self.log_mel = self.card.check_front_end()
        self.classes = self.card.classes
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._of_window = ["logits", "background_logits"] if self.has_background else ["logits"]
        windows = probe_windows(self.log_mel.params)
        self.probe_difference = self.card.check_answers(self.probabilities(windows))

    @property
    def locates(self) -> bool:
        """Whether `frame_logits` is to be had."""
        return "frame_logits" in self._outputs

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Uncalibrated logits, float32 (n, classes), of float16 decibels (n, n_mels, frames)."""
        return self._run(["logits"], features)[0]

    @property
    def has_background(self) -> bool:
        """Whether it has a logit for none of its classes."""
        return "background_logits" in self._outputs

    def background_logits(self, features: np.ndarray) -> np.ndarray | None:
        """Logits of none of the classes, float32 (n, 1); None for a network without."""
        return self._run(["background_logits"], features)[0] if self.has_background else None

    def outputs(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """`logits` and `background_logits` of one run."""
        logits, *background_logits = self._run(self._of_window, features)
        return logits, background_logits[0] if background_logits else None

    def scores(self, features: np.ndarray) -> np.ndarray:
        """`earshot.model.scores.window_scores`, float64 (n, classes + 1), of float16 decibels (n, n_mels, frames)."""
        return window_scores(*self.outputs(features), self.card.temperature)

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Calibrated probabilities, float64 (n, classes), of float16 decibels (n, n_mels, frames)."""
        return softmax(self.logits(features), self.card.temperature)

    def frame_logits(self, features: np.ndarray) -> np.ndarray:
        """Logits over time, float32 (n, outputs, steps): where in the window a class was heard.

        Outputs are the classes and, of a network that has the background, it: its logit of the whole window at every
        step if the network has none over time.

        Raises:
            ModelError: the network has no such output.
        """
        if not self.locates:
            raise ModelError(
                f"{self.path} holds a {self.card.architecture} network, which cannot locate sounds in time"
            )
        if not self.has_background:
            return self._run(["frame_logits"], features)[0]
        if "frame_background_logits" in self._outputs:
            return np.concatenate(self._run(["frame_logits", "frame_background_logits"], features), axis=1)
        of_classes, background = self._run(["frame_logits", "background_logits"], features)
        steps = np.broadcast_to(background[..., None], (len(background), 1, of_classes.shape[2]))
        return np.concatenate([of_classes, steps], axis=1)

    def window_logits(self, features: np.ndarray) -> np.ndarray:
        """One score a window in the form of `frame_logits`, float32 (n, outputs, 1): for a network without them."""
        return np.concatenate(self._run(self._of_window, features), axis=1)[..., None]

    def _run(self, outputs: list[str], features: np.ndarray) -> list[np.ndarray]:
        return self._session.run(outputs, {"log_mel": features.astype(np.float32)})


def read_card(path: str | Path) -> Card:
    """The card of the ONNX file at `path`, without checking that this Earshot's front end is the model's.

    Raises:
        ModelError: as `Model`.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"no model at {path}: run `make repro` (or `dvc pull`) first")
    return _card(open_session(path), path)


def open_session(path: str | Path) -> onnxruntime.InferenceSession:
    """A session on one CPU thread.

    Raises:
        ModelError: not a file that onnxruntime reads.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # it keeps the most it ever held, twice over, and saves no time
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class but this one
        raise ModelError(f"{path} is not a model that onnxruntime can read: {error}") from error


def _card(session: onnxruntime.InferenceSession, path: Path) -> Card:
    metadata = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in metadata:
        raise ModelError(f"{path} carries no '{METADATA_KEY}' metadata: it was not made by Earshot's pipeline")
    return Card.from_json(metadata[METADATA_KEY])
