"""The state of a training on disk: put in place whole, and never silently used or lost."""

import os
import pickle
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

FORMAT = 1


def save_state(path: Path, settings: Mapping[str, object], state: Mapping[str, Any]) -> None:
    """Put the state of a training with these settings at ``path``, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        torch.save({"format": FORMAT, "settings": settings, **state}, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def load_state(path: Path, settings: Mapping[str, object]) -> dict[str, Any] | None:
    """The state at ``path``, on the CPU; ``None`` where there is none that can be used.

    A file that cannot be read is set aside with a warning.

    Raises:
        ValueError: for the state of a training with other settings.
    """
    state = _read(path) if path.exists() else None
    if state is not None and state["settings"] != settings:
        raise ValueError(
            f"{path} is of a training with {state['settings']}, expected {settings}; move it away"
            " to train anew"
        )
    return state


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(content, dict) and content.get("format") == FORMAT:
            return content
        reason = "it is of another format"
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    aside = path.with_name(f"{path.name}.corrupt-{time.time_ns()}")
    path.rename(aside)
    warnings.warn(
        f"checkpoint {path.name} cannot be used ({reason}); it is set aside as {aside.name}, and"
        " training begins anew",
        stacklevel=3,
    )
    return None
