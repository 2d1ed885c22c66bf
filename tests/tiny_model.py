"""A real model, made by the project's own code in seconds: three classes of sound that anyone could tell apart.

A network with a logit of the background also hears a sound of no class, `OUTSIDE`, and places in which nothing happens,
and learns that these are none of them.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch
from torch.nn import functional as F

from earshot.clips.parts import Parts
from earshot.core.front_end import FrontEndParams
from earshot.decisions.config import OperatingPointsParams, UnknownParams
from earshot.deployment.candidate import CandidateParams, make_candidate, write_candidate
from earshot.deployment.config import GateParams, QuantizationParams
from earshot.deployment.provenance import Provenance
from earshot.hearing.clip import fit_length
from earshot.hearing.log_mel import LogMel
from earshot.training.checkpoint import Checkpoint, make_model
from earshot.training.networks import network_class

CLASSES = ("hiss", "hum", "whistle")
OUTSIDE = "horn"
FRONT_END = FrontEndParams()
RATE = FRONT_END.sample_rate_hz


def sound(label: str, duration_s: float, seed: int = 0, level: float = 0.2) -> np.ndarray:
    """White noise, a low buzz, a high tone that wavers, or a horn: float32 (samples,) at the model's rate."""
    random = np.random.default_rng(seed)
    time_s = np.arange(round(duration_s * RATE)) / RATE
    if label == "hiss":
        return (level / 3 * random.standard_normal(len(time_s))).astype(np.float32)
    if label == "hum":
        pitch_hz = random.uniform(60, 140)
        waves = [np.sin(2 * np.pi * pitch_hz * k * time_s + k) / k for k in range(1, 12)]
        return (level / 2 * np.sum(waves, axis=0)).astype(np.float32)
    if label == OUTSIDE:
        pitch_hz = random.uniform(400, 800)
        waves = [np.sin(2 * np.pi * pitch_hz * k * time_s + k) for k in range(1, 6)]
        return (level / 3 * np.sum(waves, axis=0)).astype(np.float32)
    phase = 2 * np.pi * random.uniform(2_000, 4_000) * time_s + 5 * np.sin(2 * np.pi * random.uniform(2, 6) * time_s)
    return (level * np.sin(phase)).astype(np.float32)


def clip(label: str, seed: int) -> np.ndarray:
    """One window: the sound anywhere in faint noise, or alone and short, as clips of data sets are."""
    random = np.random.default_rng((seed, (*CLASSES, OUTSIDE).index(label)))
    # A quarter fills the window, as sounds that go on do.
    duration_s = FRONT_END.window_s if random.random() < 0.25 else random.uniform(0.2, FRONT_END.window_s)
    samples = sound(label, duration_s, seed, 10 ** random.uniform(-1.5, -0.3))[: FRONT_END.window_samples]
    if random.random() < 0.3:
        return fit_length(samples, FRONT_END.window_samples)
    window = faint_noise(random)
    begin = random.integers(0, len(window) - len(samples) + 1)
    window[begin : begin + len(samples)] += samples
    return window


def faint_noise(random: np.random.Generator) -> np.ndarray:
    """A window in which nothing happens, at -100 to -60 dB: float32 (samples,)."""
    return (10 ** random.uniform(-5, -3) * random.standard_normal(FRONT_END.window_samples)).astype(np.float32)


def make(directory: Path, architecture: str = "compact") -> Path:
    """Train for a moment, quantise, and write both ONNX files; the path of the INT8 one."""
    per_class = {"train": 30, "val": 30, "test": 10}
    rows = [
        {"path": f"{part}/{label}-{i}.wav", "label": label, "part": part, "recording": f"{part}{i}"}
        for part, count in per_class.items()
        for i in range(count)
        for label in CLASSES
    ]
    clips = pd.DataFrame(rows)
    log_mel = LogMel(FRONT_END)
    sounds = [clip(row["label"], seed) for seed, row in enumerate(rows)]
    features = np.stack([log_mel.clip(samples) for samples in sounds])
    clips["truncated_s"], clips["peak"] = 0.0, [float(np.abs(samples).max()) for samples in sounds]
    for part in per_class:
        (directory / part).mkdir(exist_ok=True)
    for path, samples in zip(clips["path"], sounds, strict=True):
        soundfile.write(directory / path, samples, RATE, subtype="FLOAT")
    # A validation clip in ten is mislabelled, so that the temperature is that of a model which errs.
    wrong = clips.index[clips["part"] == "val"][::10]
    clips.loc[wrong, "label"] = [CLASSES[CLASSES.index(label) - 1] for label in clips.loc[wrong, "label"]]
    parts = Parts(CLASSES, clips, clips["part"].to_numpy(), {"strategy": "folds", "test_folds": ["1"]}, features)
    outside = []
    if network_class(architecture).learns_background:
        sounds = [clip(OUTSIDE, seed) for seed in range(30)]
        sounds += [faint_noise(np.random.default_rng(seed)) for seed in range(15)]
        outside = [log_mel.clip(one) for one in sounds]
    checkpoint = _train(parts, architecture, outside)
    provenance = Provenance(
        dataset={
            "name": "tiny",
            "title": "Three sounds made for tests",
            "licence": "CC0-1.0",
            "citation": "",
            "url": "",
            "sha256": {"clips.csv": "0" * 64, "files.csv": "0" * 64},
            "extra_clips": {"classes": 0, "background": len(outside)},
        },
        params={"seed": 1, "audio": {}},
        code={},
    )
    settings = CandidateParams(
        QuantizationParams(calibration_clips=30, long_sounds=12),
        GateParams(),
        UnknownParams(),
        OperatingPointsParams(),
        bins=5,
    )
    made = make_candidate(checkpoint, [], parts, directory, provenance, settings, seed=1)
    write_candidate(made, directory)
    return directory / "earshot.int8.onnx"


def _train(parts: Parts, architecture: str, outside: list[np.ndarray], steps: int = 150) -> Checkpoint:
    random = torch.random.get_rng_state()
    torch.manual_seed(1)
    part = parts.part("train")
    features = torch.from_numpy(np.stack([*part.features, *outside]).astype(np.float32))
    labels = torch.from_numpy(np.append(part.labels, np.full(len(outside), len(CLASSES))))
    model = make_model(architecture, len(CLASSES), FRONT_END, has_background=bool(outside))
    model.normalise.fit(features)
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    model.train()
    for _ in range(steps):
        chosen = torch.randint(len(labels), (16,))
        optimiser.zero_grad()
        # In full precision everywhere: tests hold the answers to thresholds.
        plain = (
            model.mean_logits(model.embed(model.normalise(features[chosen]))) if outside else model(features[chosen])
        )
        F.cross_entropy(plain, labels[chosen], label_smoothing=0.05).backward()
        optimiser.step()
        schedule.step()
    _settle_batch_norm(model, features)
    torch.random.set_rng_state(random)
    return Checkpoint(model.eval(), architecture, CLASSES, FRONT_END, bool(outside))


def _settle_batch_norm(model: torch.nn.Module, features: torch.Tensor) -> None:
    """Statistics of the finished network: the running ones still remember how it began."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over what follows
    with torch.no_grad():
        for some in features.split(30):
            model(some)
