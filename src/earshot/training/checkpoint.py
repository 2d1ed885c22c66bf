"""A trained network with what is needed to use it and to say what it was made from."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from earshot.core.errors import EarshotError
from earshot.core.files import atomic_file
from earshot.core.front_end import FrontEndParams
from earshot.core.params import build
from earshot.training.networks import network_class
from earshot.training.networks.base import Network


class CheckpointError(EarshotError):
    """A checkpoint that cannot be used."""


@dataclass(frozen=True)
class Checkpoint:
    """A network in eval mode, on the CPU, and its setting.

    Attributes:
        model: (batch, n_mels, frames) decibels to (batch, classes) logits.
        architecture: its name in `earshot.training.networks.NETWORKS`.
        classes: names in the order of the logits.
        front_end: what the network's input was made with.
        has_background: whether the network was trained on clips of the background class.
    """

    model: Network
    architecture: str
    classes: tuple[str, ...]
    front_end: FrontEndParams
    has_background: bool = False


def make_model(
    architecture: str, classes: int, front_end: FrontEndParams, dropout: float = 0.0, has_background: bool = False
) -> Network:
    """A fresh network with weights from torch's global generator.

    Raises:
        ParamsError: there is no such network, or it cannot hear what `front_end` makes.
    """
    network = network_class(architecture)
    network.check(front_end)
    return network(classes, front_end, dropout, has_background)


def save(checkpoint: Checkpoint, path: str | Path) -> None:
    """Write `checkpoint` atomically; equal networks are equal bytes."""
    document = {
        "architecture": checkpoint.architecture,
        "classes": list(checkpoint.classes),
        "front_end": checkpoint.front_end.as_dict(),
        "has_background": checkpoint.has_background,
        "weights": checkpoint.model.state_dict(),
    }
    # Into memory first: given a path, torch puts the file's name, here a temporary one, into the archive.
    archive = io.BytesIO()
    torch.save(document, archive)
    with atomic_file(path) as temporary:
        temporary.write_bytes(archive.getvalue())


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint. Nothing in the file is executed (``weights_only``).

    Raises:
        CheckpointError: missing or damaged.
    """
    try:
        document: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        classes = tuple(document["classes"])
        front_end = build(FrontEndParams, document["front_end"], "front_end")
        has_background: bool = document["has_background"]
        model = make_model(document["architecture"], len(classes), front_end, has_background=has_background)
        model.load_state_dict(document["weights"])
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} not found: run `dvc repro train` first") from error
    except Exception as error:  # torch.load raises whatever the damaged bytes provoke
        raise CheckpointError(
            f"{path} is not a checkpoint of this version: {error}; run `dvc repro -f train`"
        ) from error
    return Checkpoint(model.eval(), document["architecture"], classes, front_end, has_background)
