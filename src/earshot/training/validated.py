"""Training with whatever validation the split leaves.

Where a part of the clips is kept for validation, it chooses the epoch. Where too few folds are left to give one away, a
network is trained without each inner fold in turn, and says what it takes that fold's clips for: every training clip is
judged once, by a network that never heard its recording. The network that is kept is trained on all of them, for the
same number of epochs. Temperature, thresholds and the gate's verdict come from the judges' answers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from earshot.clips.parts import Part, Parts
from earshot.hearing.log_mel import FrontEndParams
from earshot.training import parallel
from earshot.training.checkpoint import Checkpoint
from earshot.training.config import TrainParams
from earshot.training.loop import HISTORY_COLUMNS, Clips, Trained, fit

_JUDGED = ("val_loss", "val_accuracy")


@dataclass(frozen=True)
class Fitted:
    """The network to use, and where there is no val part its judges, one for each inner fold.

    With judges, validation figures in `trained.history` are theirs: means over inner folds, weighted by clips.
    `auxiliary_clips` says on how many the network was trained beside the data set's own: of its `classes`, and
    `unrelated` ones.
    """

    trained: Trained
    judges: list[Checkpoint]
    auxiliary_clips: dict[str, int]


def fit_parts(
    parts: Parts,
    front_end: FrontEndParams,
    params: TrainParams,
    seed: int,
    state_path: Callable[[str], Path],
    progress: bool = True,
    auxiliary: tuple[np.ndarray, np.ndarray] | None = None,
) -> Fitted:
    """Train on the train part of `parts`, with the validation that it has.

    `state_path` gives a file for each run's state, by name. `auxiliary` are features and class numbers of clips that
    every network is trained on beside those of the train part, and none is judged by. Nothing is chosen by what judges
    say: each keeps its last epoch, as the network on all clips must.

    Raises:
        TrainingError: as `earshot.training.loop.fit`.
    """
    folds = parts.validations
    train = _clips(parts.part("train"))
    heard = train if auxiliary is None else train.beside(Clips(*auxiliary), len(parts.classes))
    others = heard.labels[len(train.labels) :]
    unrelated = int((others == len(parts.classes)).sum())
    auxiliary_clips = {"classes": len(others) - unrelated, "unrelated": unrelated}
    # As many for each: what judges say is said of the network that is kept. The others count as clips.
    params = replace(params, epochs=params.resolved(len(heard.labels)).epochs)

    def run(clips: Clips, held: Clips | None, name: str, **how: Any) -> Trained:
        path = parallel.from_first(partial(state_path, name))
        if auxiliary is not None:
            clips = clips.beside(Clips(*auxiliary), len(parts.classes))
        return fit(clips, held, parts.classes, front_end, params, seed, path, progress, **how)

    if parts.inner is None:
        return Fitted(run(train, _clips(folds[0].held), "state"), [], auxiliary_clips)
    judges = [
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
        judged = [judge.history[epoch] for judge in judges]
        means = {name: float(np.average([one[name] for one in judged], weights=weights)) for name in _JUDGED}
        history.append({name: (row | means)[name] for name in HISTORY_COLUMNS})
    kept = Trained(trained.checkpoint, trained.best_epoch, history)
    return Fitted(kept, [judge.checkpoint for judge in judges], auxiliary_clips)


def _clips(part: Part) -> Clips:
    return Clips(part.features, part.labels)
