"""The one OpenAPI document: every route that can be reached, whoever answers it. ``GET /openapi.json``."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from earshot.core.labels import UNKNOWN
from earshot.hearing.notes import REASONS

# What can be reached, and how. Everything else is 404 before any framework sees it.
METHODS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("/classify", "/classify_batch", "/timeline"), frozenset({"POST"})),
    **dict.fromkeys(
        ("/model", "/openapi.json", "/", "/ui", "/ui/*", "/livez", "/healthz", "/readyz", "/metrics", "/schema.json"),
        frozenset({"GET", "HEAD"}),
    ),
}
# No token needed: they say nothing that a token protects, and probes and browsers cannot send one.
OPEN = frozenset({"/", "/ui", "/ui/*", "/openapi.json", "/livez", "/healthz", "/readyz"})

_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_SECONDS = {"type": "number", "minimum": 0}
_TEXT = {"type": "string"}

_REFUSALS = {
    "400": "no file, text in its place, or a form or a request that cannot be read",
    "401": "a token is needed (only where the operator has set one)",
    "408": "nothing of the upload, or too little of it, arrived for too long",
    "413": "too large, too long, or too many channels, files or samples a second",
    "415": "not audio that can be decoded; the message names what it looks like",
    "422": "audio with nothing in it: no samples, or samples that are not finite",
    "503": "a budget is full (Retry-After says when to come back), or the model is not ready",
    "504": "not done within the time allowed",
}


@cache
def document() -> dict[str, Any]:
    """The document, as plain values for JSON."""
    upload = {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _ref("Upload")},
            "audio/*": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
    batch = {"required": True, "content": {"multipart/form-data": {"schema": _ref("Uploads")}}}
    lines = {
        "name": "stream",
        "in": "query",
        "description": "1 or true: JSON lines while events are found, as with Accept: application/x-ndjson",
        "schema": _TEXT,
    }
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Earshot",
            "description": "Names the sounds in recordings, and says how sure it is. Every status of 400 and above has "
            "a body of the schema Error. Every answer carries X-Request-ID: the caller's, or a new one.",
            "version": _version(),
        },
        "servers": [{"url": "."}],
        "paths": {
            "/classify": {"post": _post("classify", "Name one sound", upload, _json("Classification"))},
            "/classify_batch": {
                "post": _post("classify_batch", "Name many sounds; one bad file spoils no other", batch, _json("Batch"))
            },
            "/timeline": {
                "post": _post(
                    "timeline",
                    "What is heard in a recording of any length, and when",
                    upload,
                    {**_json("Timeline"), "application/x-ndjson": {"schema": _ref("TimelineLine")}},
                    [lines],
                )
            },
            "/model": {"get": _get("model", "What answers, and what it cannot hear", _json("Model"))},
            "/openapi.json": {"get": _get("openapi", "This document", _json())},
            "/schema.json": {"get": _get("schema", "The service as BentoML's clients read it", _json())},
            "/metrics": {"get": _get("metrics", "Figures for Prometheus", _text())},
            "/livez": {"get": _get("livez", "Whether the process answers", _text())},
            "/healthz": {"get": _get("healthz", "The same, by its older name", _text())},
            "/readyz": {
                "get": _get("readyz", "Whether the model has answered a first clip", _text(), {"503": "not yet"})
            },
            "/": {"get": _redirect("index")},
            "/ui": {"get": _redirect("ui")},
            "/ui/{path}": {
                "get": {
                    **_get("page", "The page and its files", {"text/html": {"schema": _TEXT}}, {"404": "no such file"}),
                    "parameters": [{"name": "path", "in": "path", "required": True, "schema": _TEXT}],
                }
            },
        },
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _schemas() -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    model = _object({"architecture": _TEXT, "dataset": {**_TEXT, "nullable": True}, "sha256": _TEXT})
    ranked = _object({"label": _TEXT, "probability": _PROBABILITY})
    event = {"label": _TEXT, "onset_s": _SECONDS, "offset_s": _SECONDS, "confidence": _PROBABILITY}
    error = _object({"reason": _TEXT, "message": _TEXT})
    answer = {
        "predicted_class": {
            **_TEXT,
            "description": f"the likeliest class; {UNKNOWN!r} where `known` is below the model's `unknown_threshold`",
        },
        "confidence": {
            **_PROBABILITY,
            "description": "of the likeliest class, if the sound is one of the classes; calibrated: 0.8 is meant to be "
            "right 8 times in 10",
        },
        "known": {
            **_PROBABILITY,
            "description": "how surely a class is heard at all: the largest probability of one, with none of them as "
            "one more where the model knows that; windows are averaged",
        },
        "flag_for_review": {"type": "boolean", "description": "less sure than the threshold, unknown, or silent"},
        "top": {
            "type": "array",
            "items": ranked,
            "description": "the likeliest classes, if the sound is one of them, also where the answer is unknown",
        },
        "duration_s": _SECONDS,
        "windowed": {"type": "boolean", "description": "longer than a window: probabilities are means over windows"},
        "windows": {"type": "integer", "minimum": 1},
        "silent": {"type": "boolean", "description": "nothing above -60 dB of full scale: the answer means nothing"},
        "notes": {"type": "array", "items": _ref("Note"), "description": "what is wrong with the file, although heard"},
        "model": model,
    }
    item, refused = {"file": _TEXT, "status": {"type": "integer"}}, {"error": error}
    parts = ("window", "metrics", "lineage", "licence", "timeline", "limits")
    return {
        "Upload": _object({"file": file}),
        "Uploads": _object({"file": {"type": "array", "items": file, "minItems": 1}}),
        "Classification": _object(answer),
        "Batch": _object(
            {
                "results": {
                    "type": "array",
                    "items": {"oneOf": [_object(item | answer), _object(item | refused)]},
                }
            }
        ),
        "Timeline": _object(
            {
                "events": {"type": "array", "items": _object(event)},
                "duration_s": _SECONDS,
                "notes": answer["notes"],
                "model": model,
            }
        ),
        "TimelineLine": {
            "description": "an event, the seconds heard so far, an error, or (last) the end",
            "oneOf": [
                _object(event),
                _object({"heard_s": _SECONDS}),
                _object({"error": error}),
                _object(
                    {
                        "duration_s": _SECONDS,
                        "events": {"type": "integer"},
                        "notes": answer["notes"],
                        "model": model,
                    }
                ),
            ],
        },
        "Note": {
            "type": "object",
            "required": ["reason", "message"],
            "properties": {
                "reason": {"type": "string", "enum": list(REASONS)},
                "message": _TEXT,
                "start_s": {**_SECONDS, "description": "silence stands from here"},
                "end_s": {**_SECONDS, "description": "to here; missing where nothing follows"},
            },
        },
        "Model": {
            "type": "object",
            "required": ["model", "classes", "cannot_hear", "review_threshold", "unknown_threshold", *parts],
            "properties": {
                "model": model,
                "classes": {"type": "array", "items": _TEXT},
                "cannot_hear": {"type": "array", "items": _TEXT},
                "review_threshold": {**_PROBABILITY, "description": "of `confidence`; less is flagged for review"},
                "unknown_threshold": {**_PROBABILITY, "description": "of `known`; less is unknown, and 0 is never"},
                **{
                    key: {"type": "object"} for key in ("window", "metrics", "lineage", "licence", "timeline", "limits")
                },
            },
        },
        "Error": _object({"error": error}),
    }


def _post(
    name: str,
    summary: str,
    body: dict[str, Any],
    content: dict[str, Any],
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": name, "summary": summary, "requestBody": body}
    if parameters:
        operation["parameters"] = parameters
    return {**operation, "responses": {"200": _answer("the answer", content), **_errors(_REFUSALS)}}


def _get(name: str, summary: str, content: dict[str, Any], refusals: dict[str, str] | None = None) -> dict[str, Any]:
    refusals = {"401": _REFUSALS["401"], **(refusals or {})}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": _answer("the answer", content), **_errors(refusals)},
    }


def _redirect(name: str) -> dict[str, Any]:
    return {"operationId": name, "summary": "Leads to the page", "responses": {"307": {"description": "to /ui/"}}}


def _errors(refusals: dict[str, str]) -> dict[str, Any]:
    return {status: _answer(words, _json("Error")) for status, words in refusals.items()}


def _answer(description: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": content}


def _json(schema: str | None = None) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(schema) if schema else {"type": "object"}}}


def _text() -> dict[str, Any]:
    return {"text/plain": {"schema": _TEXT}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _version() -> str:
    try:
        return version("earshot")
    except PackageNotFoundError:  # in a bento, where it is source and not installed
        return "bento"
