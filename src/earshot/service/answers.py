"""What the service answers, as plain values for JSON."""

from typing import Any

from earshot.core.labels import UNKNOWN
from earshot.decisions.review import flag_for_review
from earshot.service.engine import Engine, RecordingEnd
from earshot.stream.classify import Classification
from earshot.stream.events import Event


def classification(engine: Engine, heard: Classification) -> dict[str, Any]:
    """The answer of ``/classify``. One about silence, or about a sound of no class, is always flagged."""
    params = engine.settings.params
    plain = heard.as_dict()
    ranked = list(plain["probabilities"].items())[: params.top]
    return {
        "predicted_class": plain["predicted_class"],
        "confidence": plain["confidence"],
        "known": plain["known"],
        "flag_for_review": flag_for_review(
            heard.confidence, heard.predicted_class == UNKNOWN, heard.silent, params.review_threshold
        ),
        "top": [{"label": label, "probability": probability} for label, probability in ranked],
        "duration_s": plain["duration_s"],
        "windowed": plain["windowed"],
        "windows": plain["windows"],
        "silent": plain["silent"],
        "notes": plain["notes"],
        "model": model_name(engine),
    }


def timeline(engine: Engine, events: list[Event], duration_s: float) -> dict[str, Any]:
    """The answer of ``/timeline``, with the notes where `duration_s` is a `RecordingEnd`."""
    notes = duration_s.notes if isinstance(duration_s, RecordingEnd) else ()
    return {
        "events": [event.as_dict() for event in events],
        "duration_s": round(duration_s, 3),
        "notes": [note.as_dict() for note in notes],
        "model": model_name(engine),
    }


def model_name(engine: Engine) -> dict[str, Any]:
    """Which model answers: enough to find its card, `GET /model`, again."""
    card = engine.model.card
    return {"architecture": card.architecture, "dataset": card.dataset.get("name"), "sha256": engine.model_sha256}
