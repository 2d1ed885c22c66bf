"""What each process of torchrun does for test_training_parallel.py: ``parallel_worker.py directory``."""

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from earshot.core.front_end import FrontEndParams
from earshot.training import parallel
from earshot.training.config import AugmentParams, TrainParams
from earshot.training.loop import Clips, Trained, TrainingError, fit
from earshot.training.networks import network_class

FRONT_END = FrontEndParams(window_s=0.4, n_mels=32)
CLASSES = ("a", "b", "c", "d")
LEARN = TrainParams(epochs=10, batch_size=16, device="cpu", augment=AugmentParams(masks=0))
# 22 clips are steps of 8, 7 and 7: shares of two processes differ in size.
EXACT = TrainParams(model="tutorial", epochs=2, batch_size=7, dropout=0.0, device="cpu")
SEED = 3


def clips(count: int, seed: int) -> Clips:
    """Noise, louder in the bands of the clip's class."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    features = random.normal(-50, 8, (count, FRONT_END.n_mels, FRONT_END.window_frames))
    width = FRONT_END.n_mels // len(CLASSES)
    for clip, label in zip(features, labels, strict=True):
        clip[label * width : (label + 1) * width] += 20 * random.random((1, clip.shape[1]))
    return Clips(features.astype(np.float16), labels.astype(np.int64))


def train(params: TrainParams, train_clips: int = 128, val: Clips | None = None, **options: Any) -> Trained:
    held = clips(96, 1) if val is None else val
    return fit(clips(train_clips, 0), held, CLASSES, FRONT_END, params, SEED, progress=False, **options)


def exact() -> Trained:
    """Plain gradient descent: unlike Adam's, its steps show how large a gradient is."""

    def descent(self: torch.nn.Module, *_: Any) -> tuple[torch.optim.Optimizer, None]:
        return torch.optim.SGD(self.parameters(), 0.02), None

    with mock.patch.object(network_class(EXACT.model), "optimizer", descent):
        return train(EXACT, train_clips=22)


def refusal(*arguments: Any, **options: Any) -> str:
    try:
        train(*arguments, **options)
    except TrainingError as error:
        return str(error)
    return ""


def outcome(trained: Trained) -> dict[str, Any]:
    return {"weights": trained.checkpoint.model.state_dict(), "history": trained.history}


def main(directory: Path) -> None:
    rank = f"rank{torch.distributed.get_rank()}"
    results: dict[str, Any] = {"exact": outcome(exact())}
    results["learnt"] = outcome(train(LEARN, state_path=directory / f"state-{rank}.pt"))
    results["random"] = torch.rand(8)  # goes on where the training's random numbers ended
    val = clips(8, 2)
    val.features[:] = np.nan if parallel.is_first() else 0
    results["not finite"] = refusal(EXACT.changed(epochs=1), val=val)
    results["too few"] = refusal(EXACT.changed(batch_size=1), train_clips=5)
    torch.save(results, directory / f"{rank}.pt")


if __name__ == "__main__":
    with parallel.exclusive("test"):
        main(Path(sys.argv[1]))
