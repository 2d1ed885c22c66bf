"""The same model over FastAPI, built as well as one that knows the libraries builds it.

Transforms are made once, the model is Earshot's own INT8 file (static quantisation), PyTorch and onnxruntime keep to
one thread, and the framework's thread pool answers: one thread a core, so that requests do not push each other off.

    PEER_MODEL=models/earshot.int8.onnx uvicorn fastapi_tuned:app
"""

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import anyio.to_thread
import numpy as np
import onnxruntime
import soundfile
import torch
from fastapi import FastAPI, File, UploadFile

from earshot.model.card import METADATA_KEY, Card
from earshot.training.torchaudio_compat import import_torchaudio

transforms = import_torchaudio().transforms
RATE_HZ, WINDOW_SAMPLES = 22_050, 88_200
torch.set_num_threads(1)
torch.set_grad_enabled(False)


def _session() -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"])


SESSION = _session()
CARD = Card.from_json(SESSION.get_modelmeta().custom_metadata_map[METADATA_KEY])
MEL = transforms.MelSpectrogram(RATE_HZ, n_fft=1024, hop_length=512, n_mels=64)
DECIBELS = transforms.AmplitudeToDB()


@cache
def resampler(rate_hz: int) -> torch.nn.Module:
    """From `rate_hz` to the model's rate; its filter is computed once."""
    resample: torch.nn.Module = transforms.Resample(rate_hz, RATE_HZ)
    return resample


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """As many threads as cores, and everything warm before the first request."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = os.cpu_count() or 1
    silence = torch.zeros(WINDOW_SAMPLES)
    SESSION.run(["logits"], {"log_mel": DECIBELS(MEL(silence))[None].numpy()})
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/classify")
def classify(file: UploadFile = File(...)) -> dict[str, object]:  # noqa: B008 (FastAPI's way)
    """Class and probabilities of one clip, in one of the framework's threads."""
    samples, rate_hz = soundfile.read(io.BytesIO(file.file.read()), dtype="float32", always_2d=True)
    sound = torch.from_numpy(samples.mean(axis=1))
    sound = resampler(rate_hz)(sound)[:WINDOW_SAMPLES]
    sound = torch.nn.functional.pad(sound, (0, WINDOW_SAMPLES - len(sound)))
    logits = SESSION.run(["logits"], {"log_mel": DECIBELS(MEL(sound))[None].numpy()})[0][0] / CARD.temperature
    raised = np.exp(logits - logits.max())
    probabilities = (raised / raised.sum()).tolist()
    best = max(range(len(CARD.classes)), key=probabilities.__getitem__)
    return {
        "predicted_class": CARD.classes[best],
        "confidence": probabilities[best],
        "top": dict(zip(CARD.classes, probabilities, strict=True)),
    }


@app.get("/readyz")
def readyz() -> str:
    """Whether it answers."""
    return "ok"
