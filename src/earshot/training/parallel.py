"""One training by all processes that ``torchrun`` started; in a process started without it, nothing here does anything.

Every process holds the same network and goes through the same steps, each on its own share of a step's clips. The first
process alone validates, prints and writes.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from earshot.core import files

# How long a process waits for another. torchrun ends all when one fails, and the lock's holder may train for hours.
_PATIENCE = timedelta(days=7)
# Torch's generator on the CPU takes 32 bits of a seed: multiples of 2**32 over the golden ratio lie far apart in them.
_SEED_STRIDE = 2_654_435_769

T = TypeVar("T")


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[None]:
    """`earshot.core.files.exclusive` for all processes: the first one takes the lock, the others wait for that.

    They belong together until the end of the block; the functions below divide the work among them.
    """
    if not (dist.is_available() and dist.is_torchelastic_launched()) or int(os.environ["WORLD_SIZE"]) == 1:
        with files.exclusive(name):
            yield
        return
    # Tensors on the CPU are gloo's in any case: what is no gradient, and gradients where train.device is cpu.
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    with files.exclusive(name) if is_first() else contextlib.nullcontext():
        from_first(lambda: None)
        yield
    # Not after an error: leaving in good order may wait for the others, and they for this one. It ends, and torchrun
    # ends them.
    dist.destroy_process_group()


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _together() else 1


def is_first() -> bool:
    """Whether this process is the one that validates, prints and writes."""
    return not _together() or dist.get_rank() == 0


def say(text: str) -> None:
    """Print a line, once."""
    if is_first():
        print(text, flush=True)


def local_rank() -> int:
    """This process's number on its machine, from 0; its GPU has the same one."""
    return int(os.environ["LOCAL_RANK"]) if _together() else 0


def from_first(make: Callable[[], T]) -> T:
    """What `make` returns in the first process, in every process; it is called in no other, and they wait."""
    if not _together():
        return make()
    box = [make() if is_first() else None]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]  # type: ignore[return-value]  # the first process's, which is a T


def total(value: float) -> float:
    """The sum of `value` over all processes."""
    return float(_sum(torch.tensor([value], dtype=torch.float64))) if _together() else value


def seed_apart(seed: int) -> None:
    """Give every process random numbers of its own; the first one's go on as they were seeded with `seed`."""
    if not is_first():
        torch.manual_seed(seed + _SEED_STRIDE * dist.get_rank())


def share(batch: Tensor) -> Tensor:
    """This process's part of a step's clips, (clips,); parts differ in size by at most one."""
    return batch.tensor_split(dist.get_world_size())[dist.get_rank()] if _together() else batch


def average_gradients(model: nn.Module, weight: float) -> None:
    """Give `model` in every process the gradient over all shares; `weight` is this share's part of the step's clips."""
    if not _together():
        return
    gradients = [weights.grad for weights in model.parameters() if weights.grad is not None]
    together = _sum(torch.cat([gradient.flatten() for gradient in gradients]) * weight)
    _put_back(together, gradients)


def average_statistics(model: nn.Module) -> None:
    """Give batch normalisation in every process the same running statistics, the mean of all."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    statistics = [one for layer in layers for one in (layer.running_mean, layer.running_var) if one is not None]
    if statistics and _together():
        _put_back(_sum(torch.cat(statistics)) / dist.get_world_size(), statistics)


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def _sum(tensor: Tensor) -> Tensor:
    dist.all_reduce(tensor)
    return tensor


def _put_back(flat: Tensor, tensors: list[Tensor]) -> None:
    for tensor, values in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(values.view(tensor.shape))
