"""What made a result: code, versions, machine and data; never a host, a user or a path."""

import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from odeclaims import __version__
from odeclaims.record.files import escape_controls

_PACKAGES = ("torch", "numpy", "scipy", "pandas", "matplotlib", "seaborn", "joblib")
# What a measured number depends on, beside the code.
_DECIDING = ("torch", "numpy", "scipy")
# By these git names its own repository to a hook, and here another may be meant.
_OF_A_REPOSITORY = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"}


def provenance(device: str) -> dict[str, Any]:
    """The part of a provenance that does not depend on the claim."""
    return {
        "odeclaims": __version__,
        **code_state(),
        **machine(device),
    }


def versions() -> dict[str, str]:
    """The versions that have to be the same wherever cells of one run are measured."""
    # The digest of a cell's code is taken from Python's syntax tree, which differs by version.
    python = ".".join(platform.python_version_tuple()[:2])
    # The part after + says for which processors it was built, which is the machine's affair.
    packages = {name: _version(name).partition("+")[0] for name in _DECIDING}
    return {"Python": python, "odeclaims": __version__, **packages}


def machine(device: str) -> dict[str, Any]:
    """What computes here: versions, system and processor, and the GPU if ``device`` is one."""
    import torch

    # A run on a cluster may be started where there is no GPU.
    gpu = device.startswith("cuda") and torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "gpu": escape_controls(torch.cuda.get_device_name(device)) if gpu else None,
    }


@cache
def _version(package: str) -> str:
    """Read once a process: it parses the whole description of the package, for every cell anew."""
    return importlib.metadata.version(package)


def commit_of(made: Mapping[str, Any], *, short: bool = False) -> str:
    """The commit that a provenance names, in words: ten digits where ``short``, and changes.

    An installed package knows of no commit.
    """
    if made["commit"] is None:
        return "not known"
    digits = str(made["commit"])[: 10 if short else None]
    return digits if made["clean_tree"] else f"{digits} with changes"


def code_state() -> dict[str, Any]:
    """The commit of the source tree, and whether the tree is as the commit has it."""
    return {"commit": commit(), "clean_tree": clean_tree()}


def commit() -> str | None:
    """The commit of the source tree; ``None`` where it is not a checkout."""
    return ask_git("rev-parse", "HEAD")


def clean_tree() -> bool:
    """Whether the whole source tree is as its commit has it; not where there is no commit.

    A run writes ``results`` and ``out``, so these do not count, but for the trained networks and
    the registry of rules. Files that git ignores do not count either. A solver that is imported
    from elsewhere is not the tree's.
    """
    if not _solver_path().is_relative_to(source_tree()):
        return False
    status = ("status", "--porcelain", "--untracked-files=all", "--")
    kept = ("results/trained", "results/registry.csv")
    return ask_git(*status, ".", ":!results", ":!out") == "" == ask_git(*status, *kept)


def _solver_path() -> Path:
    """The file of the solver's package, which is found without importing torch."""
    spec = importlib.util.find_spec("neural_ode")
    return Path(spec.origin if spec and spec.origin else "").resolve()


def source_tree() -> Path:
    """The folder that holds ``suites`` in a checkout; another one in an installed package."""
    return Path(__file__).resolve().parents[3]


def ask_git(*arguments: str, folder: Path | None = None) -> str | None:
    """What git says about the source tree, or about another folder.

    Returns:
        ``None`` where it is not a checkout, or git refuses.
    """
    here = folder.resolve() if folder else source_tree()
    if folder is None and not _is_checkout(source_tree()):
        return None
    return _git(here, *arguments)


def _is_checkout(tree: Path) -> bool:
    """Whether git knows this file; an installed package may lie in a checkout not its own."""
    own = str(Path(__file__).resolve())
    return (tree / ".git").exists() and _git(tree, "ls-files", "--error-unmatch", own) is not None


def _git(here: Path, *arguments: str) -> str | None:
    # A run that is killed in this moment would leave a lock in the user's checkout.
    command = ["git", "--no-optional-locks", "-C", str(here), *arguments]
    outside = {name: value for name, value in os.environ.items() if name not in _OF_A_REPOSITORY}
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, env=outside)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return escape_controls(names[0] if names else platform.processor() or platform.machine())
