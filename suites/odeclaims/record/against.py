"""Results held against what a commit recorded of them.

A digest in a folder says that its files belong together. It does not say who wrote them: whoever
changes rows, digests and verdict together leaves nothing to notice in the folder itself. A commit
of a repository that others have can say it.
"""

import subprocess
from pathlib import Path

from odeclaims.record.results import Results


def check_revision(folder: Path, revision: str) -> None:
    """See that a folder lies in a Git checkout that has the revision.

    Raises:
        ValueError: where it does not, or where there is no Git.
    """
    if _git(folder, "rev-parse", "--git-dir") is None:
        raise ValueError(
            f"{folder} does not lie in a Git checkout, so there is no commit to compare it with"
        )
    if _git(folder, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") is None:
        raise ValueError(f"the Git checkout around {folder} has no revision {revision!r}")


def differences(results: Results, revision: str) -> str:
    """Which of a result's files are not those of a revision; "" where all three are.

    Line ends are compared as Git's, since a checkout may have turned them.
    """
    changed = []
    for path in (results.data, results.provenance, results.verdict):
        committed = _git(path.parent, "show", f"{revision}:./{path.name}")
        if committed is None:
            changed.append(f"{path.name} is not in {revision}")
        elif not path.exists() or path.read_bytes().replace(b"\r\n", b"\n") != committed:
            changed.append(f"{path.name} is not that of {revision}")
    return ", ".join(changed)


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What Git prints; ``None`` where it fails or is not there."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return answer.stdout if answer.returncode == 0 else None
