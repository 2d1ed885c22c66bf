"""``GET /model``: what the model is, what it was made from, how good it is, and what it cannot hear."""

from typing import Any

from earshot.model.card import Card
from earshot.service.answers import model_name
from earshot.service.engine import Engine

# What people expect a sound classifier to know. Words, any of which in a class's name means that it is covered.
_EXPECTED = {
    "breaking glass": ("glass",),
    "smoke and fire alarms": ("smoke", "alarm"),
    "screams": ("scream", "shout"),
    "gun shots": ("gun",),
    "sirens": ("siren",),
    "speech": ("speech", "talk", "voice"),
    "crying babies": ("baby", "crying"),
    "dogs": ("dog",),
    "car horns": ("horn",),
    "rain and wind": ("rain", "wind"),
}


def about(engine: Engine) -> dict[str, Any]:
    """The document. `lineage` is the card in the model file, as far as it says what the model was made from."""
    card = engine.model.card
    settings = engine.settings
    front_end = engine.model.log_mel.params
    return {
        "model": model_name(engine),
        "classes": list(card.classes),
        "cannot_hear": cannot_hear(card, engine.model.has_background),
        "window": {
            "window_s": front_end.window_s,
            "sample_rate_hz": front_end.sample_rate_hz,
            "frames": front_end.window_frames,
            "hop_s": round(settings.timeline.hop_frames * front_end.hop_s, 6),
            "highest_hz": front_end.f_top_hz,
        },
        "review_threshold": settings.params.review_threshold,
        "unknown_threshold": card.unknown_threshold,
        "metrics": card.metrics,
        "lineage": {
            "dataset": card.dataset,
            "split": card.split,
            "params": card.params,
            "code": card.code,
            "front_end": card.front_end,
            "front_end_version": card.front_end_version,
            "temperature": card.temperature,
            "unknown_threshold": card.unknown_threshold,
        },
        "licence": {
            "data": card.dataset.get("licence"),
            "citation": card.dataset.get("citation"),
            "sources": [
                {key: one.get(key) for key in ("title", "licence", "citation", "url")}
                for one in card.dataset.get("sources", [card.dataset])
            ],
            "note": "the model was made from this data; its licence may restrict how the model is used",
        },
        "timeline": settings.timeline.as_dict(),
        "limits": {
            "clip_max_mb": settings.params.clip_max_mb,
            "clip_max_s": settings.params.clip_max_s,
            "batch_max_files": settings.params.batch_max_files,
            "batch_max_mb": settings.params.batch_max_mb,
            "recording_max_mb": settings.params.recording_max_mb,
            "recording_max_s": settings.params.recording_max_s,
            "max_channels": settings.params.max_channels,
            "min_sample_rate_hz": settings.params.min_sample_rate_hz,
            "max_sample_rate_hz": settings.params.max_sample_rate_hz,
        },
    }


def cannot_hear(card: Card, has_background: bool) -> list[str]:
    """In words, what the model has no answer for, or not always; `has_background` as of a `model.session.Model`."""
    names = " ".join(card.classes).lower()
    absent = [sound for sound, words in _EXPECTED.items() if not any(word in names for word in words)]
    said = [_outside(card, has_background)]
    if absent:
        said.append(f"Among the sounds often asked for, it has no class for {', '.join(absent)}.")
    said.append("Two sounds at once are one answer: the class that is heard more clearly.")
    return said


def _outside(card: Card, has_background: bool) -> str:
    nearest = "the class that is most like it, often with confidence"
    if not card.unknown_threshold:
        return f"Any sound outside its classes: it names {nearest}."
    if has_background:
        return f"Sounds outside its classes: what is unlike enough it calls unknown; for the rest it names {nearest}."
    return (
        "Sounds outside its classes: it was taught none, and calls unknown only what leaves it undecided between its "
        f"classes; for the rest it names {nearest}."
    )
