"""Logits of a PyTorch network over many clips."""

import numpy as np
import torch
from torch import nn


def predict_logits(model: nn.Module, features: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Float16 decibels (clips, n_mels, frames) to float32 logits (clips, classes), in eval mode and full precision.

    Runs on the device the model is on.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        parts = [
            model(torch.from_numpy(np.asarray(features[i : i + batch_size], np.float32)).to(device))
            .float()
            .cpu()
            .numpy()
            for i in range(0, len(features), batch_size)
        ]
    model.train(was_training)
    return np.concatenate(parts)
