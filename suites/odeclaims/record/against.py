"""Results held against what a commit recorded of them.

A digest in a folder says that its files belong together. It does not say who wrote them: whoever
changes rows, digests and verdict together leaves nothing to notice in the folder itself. A commit
of a repository that others have can say it.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from odeclaims.record.results import Results


@dataclass(frozen=True)
class Revision:
    """A commit of the Git checkout around a results folder.

    Attributes:
        folder: the results folder.
        name: how the user names the commit.
        commit: its digest.
    """

    folder: Path
    name: str
    commit: str

    def differences(self, results: Results) -> str:
        """Which of a result's files are not those of the commit; "" where all three are."""
        changed = []
        for path in (results.data, results.provenance, results.verdict):
            committed = _git(path.parent, "cat-file", "blob", f"{self.commit}:./{path.name}")
            if committed is None:
                changed.append(f"{path.name} is not in {self.name}")
            elif not _is_checkout_of(committed, path):
                changed.append(f"{path.name} is not that of {self.name}")
        return ", ".join(changed)

    def has(self, results: Results) -> bool:
        """Whether the commit has rows of this result."""
        place = results.data.relative_to(results.out).as_posix()
        return _git(self.folder, "cat-file", "-e", f"{self.commit}:./{place}") is not None


def find_revision(folder: Path, name: str) -> Revision:
    """The commit of that name in the Git checkout that a folder lies in.

    Raises:
        ValueError: where there is none, or no Git.
    """
    if _git(folder, "rev-parse", "--git-dir") is None:
        raise ValueError(
            f"{folder} does not lie in a Git checkout that Git can read, so there is no commit to"
            " compare it with"
        )
    commit = _git(folder, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if commit is None:
        raise ValueError(f"the Git checkout around {folder} has no revision {name!r}")
    return Revision(folder, name, commit.decode().strip())


def _is_checkout_of(committed: bytes, path: Path) -> bool:
    """Whether a file is what Git wrote for these bytes, with the line ends of Windows or not."""
    return path.exists() and path.read_bytes() in (committed, committed.replace(b"\n", b"\r\n"))


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What Git prints; ``None`` where it fails or is not there."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return answer.stdout if answer.returncode == 0 else None
