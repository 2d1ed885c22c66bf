"""The training loop: deterministic for a seed on one machine, and resumable after ``kill -9``.

All randomness of an epoch comes from a seed made of the run's seed and the epoch's number, so that the state at the
end of an epoch is all that a resumed run needs to end with the same weights as an uninterrupted one.

Processes that torchrun started train together (`earshot.training.parallel`): each goes through the same steps, on its
share of their clips.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from earshot.clips.extra import most_background
from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file
from earshot.core.front_end import FrontEndParams
from earshot.core.progress import progress as progress_bar
from earshot.training import augment, parallel
from earshot.training.checkpoint import Checkpoint, make_model
from earshot.training.config import TrainParams
from earshot.training.networks.base import Network
from earshot.training.networks.recipe import Recipe
from earshot.training.predict import predict_logits

HISTORY_COLUMNS = ["epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate"]


class TrainingError(EarshotError):
    """Training cannot go on; the message says what to change."""


@dataclass(frozen=True)
class Clips:
    """Features (clips, n_mels, frames) float16 in decibels, and class numbers (clips,).

    The number after the last class's stands for none of them: clips of anything else, to train on.
    """

    features: np.ndarray
    labels: np.ndarray

    def beside(self, others: "Clips", classes: int) -> "Clips":
        """These clips, then the others, but of those of none of the `classes` at most `most_background`.

        Those kept are spread evenly over all there are.
        """
        background = np.flatnonzero(others.labels == classes)
        of_classes = np.flatnonzero(others.labels < classes)
        most = most_background(len(self.labels) + len(of_classes))
        if len(background) > most:
            background = background[np.arange(most) * len(background) // max(most, 1)]
        kept = np.sort(np.concatenate([of_classes, background]))
        return Clips(
            np.concatenate([self.features, others.features[kept]]), np.concatenate([self.labels, others.labels[kept]])
        )


@dataclass(frozen=True)
class Trained:
    """The chosen epoch's network and the history of all: one row an epoch, keys `HISTORY_COLUMNS`."""

    checkpoint: Checkpoint
    best_epoch: int
    history: list[dict[str, float]]


def fit(
    train: Clips,
    val: Clips | None,
    classes: tuple[str, ...],
    front_end: FrontEndParams,
    params: TrainParams,
    seed: int,
    state_path: Path | None = None,
    progress: bool = True,
    keep: Literal["best", "last"] = "best",
    title: str = "",
) -> Trained:
    """Train a network on `train`; keep the settled epoch with the best accuracy on `val` (ties: the lowest loss).

    With `keep` "last" it is the last epoch, whatever `val` says; without `val` there is no other, and the history has
    no validation. `title` stands beside the progress bar.

    With `state_path`, the state of every finished epoch is written there, and a run that finds one goes on from it.
    The caller makes sure that the state belongs to the same data, parameters and code. Of processes that train together
    all return the same, and only the first one reads and writes `state_path`.

    Raises:
        TrainingError: the loss is not finite, the device is not there, or a process would have no clips.
    """
    device = _device(params.device)
    recipe = params.resolved(len(train.labels))
    torch.manual_seed(seed)
    has_background = bool((train.labels == len(classes)).any())
    model = make_model(params.model, len(classes), front_end, recipe.dropout, has_background)
    features = torch.from_numpy(np.ascontiguousarray(train.features))
    model.normalise.fit(features)
    model = model.to(device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    features = features.to(device)
    labels = torch.from_numpy(train.labels.astype(np.int64)).to(device)

    batches = recipe.epoch_steps(len(features))
    _check_shares(len(features), batches, recipe)
    optimizer, scheduler = model.optimizer(recipe, recipe.epochs * batches)
    history: list[dict[str, float]] = []
    best: dict[str, Any] = {}
    state = parallel.from_first(partial(_load_state, state_path))
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        if scheduler is not None:
            scheduler.load_state_dict(state["scheduler"])
        history, best = state["history"], state["best"]
        parallel.say(f"resuming training after epoch {len(history)} of {recipe.epochs} (state in {state_path})")

    step_loss = _step_loss(model, params, recipe, len(classes) + has_background, front_end)
    bar = progress_bar(
        range(len(history) + 1, recipe.epochs + 1),
        initial=len(history),
        total=recipe.epochs,
        desc=f"train {params.model} {title}".rstrip(),
        unit="epoch",
        disable=not (progress and parallel.is_first()),
    )
    for epoch in bar:
        epoch_seed = seed * 1_000_003 + epoch
        torch.manual_seed(epoch_seed)
        order = _order(len(features), recipe.passes).to(device)
        parallel.seed_apart(epoch_seed)
        model.train()
        total = 0.0
        learning_rate = optimizer.param_groups[0]["lr"]
        for batch in order.tensor_split(batches):
            share = parallel.share(batch)
            loss = step_loss(features[share], labels[share], (epoch - 1) / recipe.epochs)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            parallel.average_gradients(model, len(share) / len(batch))
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            total += float(loss.detach()) * len(share)
        parallel.average_statistics(model)
        row = {"epoch": epoch, "train_loss": parallel.total(total) / len(order)}
        row |= parallel.from_first(partial(_validate, model, val))
        row["learning_rate"] = learning_rate
        if not all(np.isfinite(value) for value in row.values()):
            raise TrainingError(
                f"the loss is not finite in epoch {epoch}: lower train.learning_rate (now {recipe.learning_rate:g})"
            )
        history.append(row)
        settled = epoch >= model.first_settled_epoch(recipe.epochs, params.augment)
        if epoch == recipe.epochs if keep == "last" or val is None else settled and _better(row, best):
            weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
            best = {**row, "weights": weights}
        shown = {"loss": f"{row['train_loss']:.3f}"}
        if val is not None:
            shown["val_acc"] = f"{row['val_accuracy']:.3f}"
        bar.set_postfix(shown, refresh=False)
        if parallel.is_first():
            _save_state(state_path, model, optimizer, scheduler, history, best)

    final = make_model(params.model, len(classes), front_end, has_background=has_background)
    final.load_state_dict(best["weights"])
    return Trained(
        Checkpoint(final.eval(), params.model, classes, front_end, has_background), int(best["epoch"]), history
    )


def _better(row: dict[str, float], best: dict[str, Any]) -> bool:
    return not best or (row["val_accuracy"], -row["val_loss"]) > (best["val_accuracy"], -best["val_loss"])


def _order(clips: int, passes: float) -> Tensor:
    """Numbers of the clips of an epoch, (passes * clips,): each pass in an order of its own, the last one cut short."""
    orders = [torch.randperm(clips) for _ in range(math.ceil(passes))]
    return torch.cat(orders)[: round(passes * clips)]


def _check_shares(clips: int, batches: int, recipe: Recipe) -> None:
    smallest = clips // batches
    if smallest < parallel.size():
        raise TrainingError(
            f"{parallel.size()} processes cannot divide a step of {smallest} clips (of {clips}, train.batch_size "
            f"{recipe.batch_size}): start at most {smallest}, or raise train.batch_size"
        )


def _step_loss(
    model: Network, params: TrainParams, recipe: Recipe, outputs: int, front_end: FrontEndParams
) -> Callable[[Tensor, Tensor, float], Tensor]:
    """The loss of one batch: (float16 decibels, labels, share of the run that is over) to a scalar."""
    if not recipe.augmented:
        return lambda decibels, labels, _: model.loss(decibels, labels, recipe.label_smoothing, None)
    augmentation = augment.Augmentation(params.augment, front_end, outputs, model.least_frames)

    def augmented_loss(decibels: Tensor, labels: Tensor, done: float) -> Tensor:
        change = partial(augmentation, done=done, normalise=model.normalise)
        return model.loss(decibels, labels, recipe.label_smoothing, change)

    return augmented_loss


def _validate(model: torch.nn.Module, val: Clips | None) -> dict[str, float]:
    if val is None:
        return {}
    logits = torch.from_numpy(predict_logits(model, val.features))
    labels = torch.from_numpy(val.labels.astype(np.int64))
    return {
        "val_loss": float(F.cross_entropy(logits, labels)),
        "val_accuracy": float((logits.argmax(1) == labels).float().mean()),
    }


def _device(wanted: str) -> torch.device:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted != "auto" and not available[wanted]:
        raise TrainingError(f"train.device is {wanted}, but torch finds none here; set it to auto or cpu")
    if parallel.size() > 1:
        return _device_of_several(wanted)
    return torch.device(next(name for name in available if available[name]) if wanted == "auto" else wanted)


def _device_of_several(wanted: str) -> torch.device:
    """The device of this one of several processes: a GPU of its own, or the CPU."""
    if wanted == "mps":
        raise TrainingError("train.device is mps, which several processes cannot train on; set it to cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    number, gpus = parallel.local_rank(), torch.cuda.device_count()
    if number >= gpus:
        raise TrainingError(
            f"process {number + 1} of this machine has no GPU, there are {gpus}: start torchrun with "
            f"--nproc-per-node {gpus}, or set train.device to cpu"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def _load_state(path: Path | None) -> dict[str, Any] | None:
    if path is None or not path.exists():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)


def _save_state(
    path: Path | None,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    history: list[dict[str, float]],
    best: dict[str, Any],
) -> None:
    if path is None:
        return
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "history": history,
        "best": best,
    }
    with atomic_file(path) as temporary:
        torch.save(state, temporary)
