"""What is quantised in place of the network computes the same."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from earshot.core.front_end import FrontEndParams
from earshot.deployment.export import for_int8
from earshot.training.checkpoint import Checkpoint, make_model

FRONT_END = FrontEndParams()


def trained(architecture: str) -> Checkpoint:
    """A network whose batch normalisation has seen something."""
    torch.manual_seed(0)
    model = make_model(architecture, 5, FRONT_END).train()
    cells = decibels(16, FRONT_END.window_frames)
    model.normalise.fit(cells)
    for _ in range(3):
        model(cells)
    return Checkpoint(model.eval(), architecture, tuple("abcde"), FRONT_END)


def decibels(clips: int, frames: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(frames).normal(-40, 15, (clips, 64, frames)).astype(np.float32))


@pytest.mark.parametrize("frames", [8, 9, 31, 172, 173])
def test_the_same_answers_at_every_length(frames):
    checkpoint = trained("compact")
    before = copy.deepcopy(checkpoint.model.state_dict())
    rewritten = for_int8(checkpoint)
    cells = decibels(4, frames)
    with torch.inference_mode():
        expected, answer = (c.model.embed(c.model.normalise(cells)) for c in (checkpoint, rewritten))
    assert expected.std() > 0.05
    torch.testing.assert_close(answer, expected, rtol=0, atol=1e-4)
    assert not [module for module in rewritten.model.modules() if isinstance(module, nn.AvgPool2d)]
    for name, value in checkpoint.model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("name", ["tutorial", "sb_cnn"])
def test_a_network_without_a_rewrite_stays_as_it_is(name):
    checkpoint = trained(name)
    cells = decibels(2, FRONT_END.window_frames)
    with torch.inference_mode():
        torch.testing.assert_close(for_int8(checkpoint).model(cells), checkpoint.model(cells), rtol=0, atol=0)
