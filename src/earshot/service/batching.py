"""Windows of several callers in one run of the model, without waiting for company.

Whoever finds the model free runs everything that waits by then; those who find it busy are served by the next run.
A lone caller never waits, and under load batches grow by themselves. The model answers each row with the same bits in
any batch, so an answer does not depend on who else asked.
"""

import threading
from collections import deque
from collections.abc import Callable

import numpy as np

from earshot.hearing.log_mel import LogMel
from earshot.model.card import Card
from earshot.model.session import Model

MAX_WINDOWS = 16  # in one run: 20 MB of activations


class BatchedModel:
    """A `Model` that threads share: the `earshot.stream.classify.Classifier` of the service."""

    def __init__(self, model: Model, on_run: Callable[[int], None] = lambda windows: None) -> None:
        """Answer with `model`, and tell `on_run` how many windows each run held."""
        self.classes: tuple[str, ...] = model.classes
        self.log_mel: LogMel = model.log_mel
        self.card: Card = model.card
        self._model = model
        self._on_run = on_run
        self._waiting: deque[_Question] = deque()
        self._free = threading.Lock()

    def scores(self, features: np.ndarray) -> np.ndarray:
        """As `earshot.model.session.Model.scores`, float64 (n, classes + 1)."""
        question = _Question(features)
        self._waiting.append(question)
        while not question.done:
            with self._free:
                if not question.done:
                    self._run()
        if question.error is not None:
            raise question.error
        assert question.answer is not None  # done, and not with an error
        return question.answer

    def _run(self) -> None:
        questions = [self._waiting.popleft()]
        windows = len(questions[0].features)
        while self._waiting and windows + len(self._waiting[0].features) <= MAX_WINDOWS:
            questions.append(self._waiting.popleft())
            windows += len(questions[-1].features)
        try:
            answers = self._model.scores(np.concatenate([question.features for question in questions]))
            start = 0
            for question in questions:
                question.answer = answers[start : start + len(question.features)]
                start += len(question.features)
        except Exception as error:  # whatever it is, it belongs to those who asked
            for question in questions:
                question.error = error
        for question in questions:
            question.done = True
        self._on_run(windows)


class _Question:
    def __init__(self, features: np.ndarray) -> None:
        self.features = features
        self.answer: np.ndarray | None = None
        self.error: Exception | None = None
        self.done = False
