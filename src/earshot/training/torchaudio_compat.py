"""Import torchaudio beside a PyTorch that its compiled extension was not built for."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def import_torchaudio() -> ModuleType:
    """Return `torchaudio`, without its compiled extension where that cannot load.

    The wheels of torchaudio 2.11 on PyPI, its last release, link CUDA. Beside a CPU build of PyTorch the extension
    cannot be loaded (OSError), and beside one built for another CUDA it refuses (RuntimeError); either way
    ``import torchaudio`` fails, although the transforms are plain PyTorch and never call it. Then, and only then, a
    stub takes the place of ``torchaudio._extension``. With it, forced alignment, RNN-T loss and CUCTC decoding, which
    do need the extension, fail when called.

    Later ``import torchaudio`` statements in the same process get the same module.

    Raises:
        ImportError: torchaudio or torch is not installed.
    """
    try:
        return importlib.import_module("torchaudio")
    except ModuleNotFoundError:
        raise
    except (OSError, ImportError, RuntimeError):
        # A failed import leaves submodules behind that hold on to the package that did not come to be.
        for name in [name for name in sys.modules if name == "torchaudio" or name.startswith("torchaudio.")]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _extension_stub()
        return importlib.import_module("torchaudio")


def _extension_stub() -> ModuleType:
    """What `torchaudio._extension` exports and its pure-Python parts import: all four names, saying "absent"."""
    stub: Any = ModuleType("torchaudio._extension")
    stub._IS_TORCHAUDIO_EXT_AVAILABLE = False  # functional/filtering.py then takes its PyTorch implementation
    stub._IS_ALIGN_AVAILABLE = False
    stub.fail_if_no_align = _unchanged  # decorates functional/_alignment.py while it is being imported
    stub._check_cuda_version = _no_cuda_version
    return stub


def _unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _no_cuda_version() -> None:
    return None
