"""Training with whatever validation the split leaves.

Where a part of the clips is kept for validation, it chooses the epoch. Where too few folds are left to give one away, a
network is trained without each inner fold in turn, and says what it takes that fold's clips for: every training clip is
judged once, by a network that never heard its recording. The network that is kept is trained on all of them, for the
same number of epochs. Temperature, thresholds and the gate's verdict come from the answers of these out-of-fold models.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earshot.clips.parts import Part, Parts
from earshot.core.front_end import FrontEndParams
from earshot.training import parallel
from earshot.training.checkpoint import Checkpoint
from earshot.training.config import TrainParams
from earshot.training.loop import HISTORY_COLUMNS, Clips, Trained, fit
from earshot.training.networks import network_class

_ON_VALIDATION = ("val_loss", "val_accuracy")


@dataclass(frozen=True)
class Fitted:
    """The network to use, and where there is no val part its out-of-fold models, one for each inner fold.

    With them, validation figures in `trained.history` are theirs: means over inner folds, weighted by clips.
    `extra_clips` says on how many the network was trained beside the data set's own: of its `classes`, and
    `background` ones.
    """

    trained: Trained
    out_of_fold: list[Checkpoint]
    extra_clips: dict[str, int]


def fit_parts(
    parts: Parts,
    front_end: FrontEndParams,
    params: TrainParams,
    seed: int,
    state_path: Callable[[str], Path],
    progress: bool = True,
    extra_clips: tuple[np.ndarray, np.ndarray] | None = None,
) -> Fitted:
    """Train on the train part of `parts`, with the validation that it has.

    `state_path` gives a file for each run's state, by name. `extra_clips` are features and class numbers of clips that
    every network is also trained on, and none is judged by: if `params.hears_extra_clips`, and those of background if
    the network has an output for it. Nothing is chosen by the out-of-fold models: each keeps its last epoch, as the
    network on all clips must.

    Raises:
        TrainingError: as `earshot.training.loop.fit`.
    """
    folds = parts.validations
    train = _clips(parts.part("train"))
    extra = _extra(extra_clips, len(parts.classes), params)
    heard = train if extra is None else train.beside(extra, len(parts.classes))
    others = heard.labels[len(train.labels) :]
    background = int((others == len(parts.classes)).sum())
    counts = {"classes": len(others) - background, "background": background}
    # As many for each: the out-of-fold models stand for the network that is kept. Extra clips count as clips.
    params = params.changed(epochs=params.resolved(len(heard.labels)).epochs)

    def run(clips: Clips, held: Clips | None, name: str, **how: Any) -> Trained:
        path = parallel.from_first(partial(state_path, name))
        if extra is not None:
            clips = clips.beside(extra, len(parts.classes))
        return fit(clips, held, parts.classes, front_end, params, seed, path, progress, **how)

    if parts.inner is None:
        return Fitted(run(train, _clips(folds[0].held), "state"), [], counts)
    out_of_fold = [
        run(
            _clips(fold.train),
            _clips(fold.held),
            f"inner{fold.inner_fold}",
            keep="last",
            title=f"without inner fold {number} of {len(folds)}",
        )
        for number, fold in enumerate(folds, 1)
    ]
    trained = run(train, None, "state", keep="last", title="on all training clips")
    weights = [len(fold.held.labels) for fold in folds]
    history = []
    for epoch, row in enumerate(trained.history):
        of_epoch = [model.history[epoch] for model in out_of_fold]
        means = {name: float(np.average([one[name] for one in of_epoch], weights=weights)) for name in _ON_VALIDATION}
        history.append({name: (row | means)[name] for name in HISTORY_COLUMNS})
    kept = Trained(trained.checkpoint, trained.best_epoch, history)
    return Fitted(kept, [model.checkpoint for model in out_of_fold], counts)


def _extra(given: tuple[np.ndarray, np.ndarray] | None, classes: int, params: TrainParams) -> Clips | None:
    """Those of the clips `given` that the network is trained on."""
    if given is None or not params.hears_extra_clips:
        return None
    features, labels = given
    if network_class(params.model).learns_background:
        return Clips(features, labels)
    kept = labels < classes
    return Clips(features[kept], labels[kept])


def _clips(part: Part) -> Clips:
    return Clips(part.features, part.labels)
