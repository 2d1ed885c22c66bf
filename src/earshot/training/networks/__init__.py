"""The networks that `train.model` can name. A network is one file in this folder and one line of `NETWORKS`.

Only names are here, so that reading params.yaml needs no torch; `network_class` imports the file of the one asked for.
"""

import difflib
import importlib
from typing import TYPE_CHECKING

from earshot.core.params import ParamsError

if TYPE_CHECKING:
    from earshot.training.networks.base import Network

NETWORKS = {  # name: module and class, a subclass of `earshot.training.networks.base.Network`
    "compact": "earshot.training.networks.compact:Compact",
    "sb_cnn": "earshot.training.networks.sb_cnn:SbCnn",
    "tutorial": "earshot.training.networks.tutorial:Tutorial",
}


def check_name(name: str) -> None:
    """Raise ParamsError, with the nearest name there is, if no network is called `name`."""
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}? " if near else ""
        raise ParamsError(f"train.model {name!r} is no network; {meant}There are {', '.join(sorted(NETWORKS))}")


def network_class(name: str) -> "type[Network]":
    """The class of the network `name`.

    Raises:
        ParamsError: no network has this name.
    """
    check_name(name)
    module, _, attribute = NETWORKS[name].partition(":")
    found: type[Network] = getattr(importlib.import_module(module), attribute)
    return found
