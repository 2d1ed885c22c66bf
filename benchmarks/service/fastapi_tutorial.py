"""The same network over FastAPI, built the way tutorials build it.

`UploadFile` read whole, soundfile to float, torchaudio transforms made for each request, and onnxruntime with its
defaults on the network quantised dynamically. Weights are unsigned, since signed ones take 20 times as long in
onnxruntime's dynamic convolution, and PyTorch's dynamic quantisation leaves convolutions alone.

    PEER_MODEL=models/earshot.onnx PEER_HANDLER=async uvicorn fastapi_tutorial:app
"""

import io
import os
import tempfile
from pathlib import Path

import onnxruntime
import soundfile
import torch
from fastapi import FastAPI, File, UploadFile
from onnxruntime.quantization import QuantType, quantize_dynamic

from earshot.model.card import METADATA_KEY, Card
from earshot.training.torchaudio_compat import import_torchaudio

transforms = import_torchaudio().transforms
RATE_HZ, WINDOW_SAMPLES = 22_050, 88_200


def _session(model: Path) -> onnxruntime.InferenceSession:
    with tempfile.TemporaryDirectory() as scratch:
        copy, dynamic = Path(scratch) / "model.onnx", Path(scratch) / "dynamic.onnx"
        copy.write_bytes(model.read_bytes())  # the quantiser writes beside the file that it reads
        quantize_dynamic(copy, dynamic, weight_type=QuantType.QUInt8)
        return onnxruntime.InferenceSession(str(dynamic))


SESSION = _session(Path(os.environ["PEER_MODEL"]))
CLASSES = Card.from_json(SESSION.get_modelmeta().custom_metadata_map[METADATA_KEY]).classes
app = FastAPI()


def answer(data: bytes) -> dict[str, object]:
    """Class and probabilities of one clip."""
    samples, rate_hz = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    sound = torch.from_numpy(samples).T.mean(dim=0)
    sound = transforms.Resample(rate_hz, RATE_HZ)(sound)[:WINDOW_SAMPLES]
    sound = torch.nn.functional.pad(sound, (0, WINDOW_SAMPLES - len(sound)))
    mel = transforms.MelSpectrogram(sample_rate=RATE_HZ, n_fft=1024, hop_length=512, n_mels=64)(sound)
    decibels = transforms.AmplitudeToDB()(mel)
    logits = SESSION.run(["logits"], {"log_mel": decibels[None].numpy()})[0][0]
    probabilities = torch.softmax(torch.from_numpy(logits), dim=0).tolist()
    best = max(range(len(CLASSES)), key=probabilities.__getitem__)
    return {
        "predicted_class": CLASSES[best],
        "confidence": probabilities[best],
        "top": dict(zip(CLASSES, probabilities, strict=True)),
    }


if os.environ.get("PEER_HANDLER", "async") == "async":

    @app.post("/classify")
    async def classify(file: UploadFile = File(...)) -> dict[str, object]:  # noqa: B008 (FastAPI's way)
        """On the event loop, as FastAPI's page on uploads does it."""
        return answer(await file.read())

else:

    @app.post("/classify")
    def classify_in_thread(file: UploadFile = File(...)) -> dict[str, object]:  # noqa: B008 (FastAPI's way)
        """In one of the framework's threads."""
        return answer(file.file.read())


@app.get("/readyz")
def readyz() -> str:
    """Whether it answers."""
    return "ok"
