"""How long one clip takes in onnxruntime: wall clock, so kept apart from everything that must be reproducible."""

import time
from pathlib import Path

import numpy as np

from earshot.model.session import open_session


def latency_ms(path: str | Path, clip: np.ndarray, runs: int) -> dict[str, float]:
    """Median and 95th percentile in milliseconds, one thread, batch 1, of `clip`, float16 (n_mels, frames)."""
    session = open_session(path)
    batch = {"log_mel": clip[None].astype(np.float32)}
    for _ in range(max(5, runs // 10)):
        session.run(["logits"], batch)
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        session.run(["logits"], batch)
        taken.append((time.perf_counter() - start) * 1e3)
    return {"p50_ms": round(float(np.percentile(taken, 50)), 4), "p95_ms": round(float(np.percentile(taken, 95)), 4)}
