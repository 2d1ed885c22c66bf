"""A finished training as ``metrics/train.json``."""

from typing import Any

from earshot.training.loop import Trained


def summarise(result: Trained, dataset: str, split: dict[str, Any], extra_clips: dict[str, int]) -> dict[str, Any]:
    """Figures of the chosen epoch, and the size of what was trained. Losses are in nats.

    `extra_clips` as `earshot.training.validated.Fitted`.
    """
    best = result.history[result.best_epoch - 1]
    return {
        "dataset": dataset,
        "model": result.checkpoint.architecture,
        "split": split["strategy"],
        "parameters": sum(weights.numel() for weights in result.checkpoint.model.parameters()),
        "train_clips": split["train"]["clips"],
        "extra_clips": extra_clips["classes"],
        "background_clips": extra_clips["background"],
        "val_clips": split["val"]["clips"],
        "epochs": len(result.history),
        "best_epoch": result.best_epoch,
        "train_loss": round(best["train_loss"], 6),
        "val_loss": round(best["val_loss"], 6),
        "val_accuracy": round(best["val_accuracy"], 6),
    }
