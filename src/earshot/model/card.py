"""What a model was made from, and how to read it back out of the model.

The ONNX files carry one JSON document under the metadata key ``earshot`` (`Card`). It names the data, parameters and
code by their contents, never by commit, path or time: the same inputs give the same bytes on the same machine.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from earshot.core.errors import EarshotError
from earshot.core.front_end import FrontEndParams
from earshot.core.params import ParamsError, build
from earshot.hearing.log_mel import FRONT_END_VERSION, LogMel

METADATA_KEY = "earshot"
CARD_VERSION = 4
PROBE_TOLERANCE_DB = 1e-3
PROBE_TOLERANCE = 0.02  # of a probability; an arithmetic that fails differs by tenths
_PROBE_RIPPLES = ((5, 1), (1, 8), (3, 3))  # over bands and over time, of each window


class ModelError(EarshotError):
    """A model file that cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Card:
    """What a model file says of itself.

    Attributes:
        architecture: name of the network.
        classes: names in the order of the logits.
        temperature, unknown_threshold, windowed_temperature, windowed_unknown_threshold, event_slope, event_offset:
            what turns scores into answers, fitted on validation: `earshot.decisions.decisions.Decisions`.
        operating_points: by class and by what is wanted, precision or recall, the probability of a sound of one window
            from which to act on it: `earshot.decisions.fitting.operating_points`. Null where no threshold has it.
        front_end: the ``audio`` parameters its input was made with.
        front_end_version: `earshot.hearing.log_mel.FRONT_END_VERSION` at the time.
        probe_db: the front end's answer to its probe sound, (8, n_mels), in decibels rounded to 1e-4.
        probe_probabilities: the file's answers to `probe_windows`, (3, classes), calibrated, rounded to 1e-4.
        dataset: name, title, licence, citation, hashes of the audited data, and how many synthesised clips were
            trained on beside them.
        split: how clips were divided, as `earshot.clips.split` describes it.
        params: every section of params.yaml that the model depends on, and the seed.
        code: SHA-256, its first 8 hex digits, of every source file that the stages up to this model declare.
        metrics: rounded figures on validation and test.
    """

    architecture: str
    classes: tuple[str, ...]
    temperature: float
    unknown_threshold: float
    windowed_temperature: float
    windowed_unknown_threshold: float
    event_slope: float
    event_offset: float
    operating_points: dict[str, dict[str, float | None]]
    front_end: dict[str, Any]
    front_end_version: int
    probe_db: list[list[float]]
    probe_probabilities: list[list[float]]
    dataset: dict[str, Any]
    split: dict[str, Any]
    params: dict[str, Any]
    code: dict[str, str]
    metrics: dict[str, Any]
    card_version: int = CARD_VERSION

    def to_json(self) -> str:
        """Compact JSON with sorted keys: equal cards are equal text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> "Card":
        """Read what `to_json` wrote.

        Raises:
            ModelError: not a card, or one of a later version.
        """
        try:
            document = json.loads(text)
            version = document["card_version"]
            if version != CARD_VERSION:
                raise ModelError(
                    f"the model's card has version {version}, this Earshot reads {CARD_VERSION}: use the Earshot that "
                    "made the model, or make the model again with `dvc repro`"
                )
            values = {field.name: document[field.name] for field in fields(Card)}
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ModelError(f"the model's card is damaged: {error!r}") from error
        return Card(**{**values, "classes": tuple(values["classes"])})

    def front_end_params(self) -> FrontEndParams:
        """`front_end` as the front end takes it. Raises ModelError if it has other settings than this front end."""
        try:
            return build(FrontEndParams, self.front_end, "front_end")
        except ParamsError as error:
            raise ModelError(f"the model's card does not fit this Earshot: {error}") from error

    def check_front_end(self) -> LogMel:
        """The front end for this model, once it has answered the probe sound as the model remembers.

        Raises:
            ModelError: this Earshot's front end is another one: its version differs, or its output does.
        """
        remedy = "make the model again with `dvc repro`, or use the Earshot that made it"
        if self.front_end_version != FRONT_END_VERSION:
            raise ModelError(
                f"the model was made with front end version {self.front_end_version}, this is version "
                f"{FRONT_END_VERSION}: {remedy}"
            )
        log_mel = LogMel(self.front_end_params())
        remembered = np.asarray(self.probe_db, np.float32)
        if remembered.shape != log_mel.probe.shape:
            raise ModelError(
                f"the model's front end gives {remembered.shape}, this one {log_mel.probe.shape}: {remedy}"
            )
        worst_db = float(np.abs(log_mel.probe - remembered).max())
        if worst_db > PROBE_TOLERANCE_DB:
            raise ModelError(
                f"this front end answers the probe sound up to {worst_db:.4f} dB differently from the one the model "
                f"was made with (allowed {PROBE_TOLERANCE_DB:g} dB): {remedy}"
            )
        return log_mel

    def check_answers(self, probabilities: np.ndarray) -> float:
        """How far `probabilities`, (3, classes), of the `probe_windows` on this machine are from the remembered ones.

        INT8 arithmetic is the processor's and onnxruntime's: where it fails, answers are wrong without any error.

        Raises:
            ModelError: by more than `PROBE_TOLERANCE`.
        """
        worst = float(np.abs(probabilities - np.asarray(self.probe_probabilities)).max())
        if not worst <= PROBE_TOLERANCE:
            raise ModelError(
                f"on this processor, with this onnxruntime, the model answers its probe windows up to {worst:.3f} "
                f"differently in probability from what its card remembers (allowed {PROBE_TOLERANCE:g}): use the fp32 "
                "model beside it (models/earshot.onnx), or the onnxruntime of constraints.txt"
            )
        return worst


def probe_windows(params: FrontEndParams) -> np.ndarray:
    """Input that makes any network's layers work, without a sound: float16 decibels (3, n_mels, window_frames)."""
    band = np.arange(params.n_mels)[:, None] / params.n_mels
    time = np.arange(params.window_frames) / params.window_frames
    ripples = [np.sin(2 * np.pi * (over_bands * band + over_time * time)) for over_bands, over_time in _PROBE_RIPPLES]
    return (-20 + 40 * np.stack(ripples) * np.cos(np.pi * (band - time))).astype(np.float16)


def without_paths(dataset: dict[str, Any]) -> dict[str, Any]:
    """The ``dataset`` section as a card keeps it: where data lie says nothing of what they are."""
    kept = {key: value for key, value in dataset.items() if key != "path"}
    if kept.get("sources"):
        kept["sources"] = [{key: value for key, value in one.items() if key != "path"} for one in kept["sources"]]
    return kept


def probe_db(log_mel: LogMel) -> list[list[float]]:
    """The front end's answer to its probe sound, as a card keeps it."""
    return [[round(float(value), 4) for value in frame] for frame in log_mel.probe]
