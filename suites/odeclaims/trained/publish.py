"""What is trained and what is published, and the way from one to the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from odeclaims.record.files import write_bytes
from odeclaims.record.published import installed_record
from odeclaims.trained import store
from odeclaims.trained.specification import Specification
from odeclaims.trained.work import is_begun, work_folder

# What all published files may take in the repository, in bytes.
MOST_BYTES = 40 * 2**20


@dataclass(frozen=True)
class Standing:
    """Where a network stands.

    Attributes:
        specification: the network.
        state: published, trained (and not published), in training, trained otherwise (and not by
            this specification), or missing.
        record: its record, where it is trained.
    """

    specification: Specification
    state: str
    record: dict[str, Any] | None = None


def find_standing(specification: Specification, out: Path) -> Standing:
    """Where a network stands in a results folder, beside the installed record if there is one.

    Raises:
        CorruptFile: where its record cannot be trusted; it is set aside.
    """
    record = installed_record()
    folders = {out / "trained": "published", work_folder(out): "trained"}
    folders |= {record / "trained": "published"} if record else {}
    otherwise = "missing"
    for folder, state in folders.items():
        try:
            return Standing(specification, state, store.read_record(folder, specification))
        except FileNotFoundError:
            continue
        except store.OtherSpecification:
            otherwise = "trained otherwise"
    return Standing(specification, "in training" if is_begun(specification, out) else otherwise)


def publish(specifications: Sequence[Specification], out: Path) -> list[Path]:
    """Put trained networks where they are published, each checked first.

    Args:
        specifications: the networks.
        out: the results folder.

    Returns:
        The folders that were written.

    Raises:
        ValueError: where the network is published already, the files would take too much, or one of
            another training lies in their place.
        FileNotFoundError: where it is not trained.
        CorruptFile: where a file of it is not what was written.
    """
    target, written = out / "trained", []
    for each in specifications:
        place = target / each.name
        if (place / store.RECORD).exists():
            raise ValueError(f"{each.name} is published already: remove {place} to replace it")
        store.read(work_folder(out), each)
        files = [work_folder(out) / each.name / name for name in store.FILES]
        size = sum(f.stat().st_size for f in [*files, *target.glob("*/*")] if f.is_file())
        if size > MOST_BYTES:
            raise ValueError(
                f"with {each.name} the published networks would take {size / 2**20:.1f} MiB, at"
                f" most {MOST_BYTES / 2**20:g} are allowed"
            )
        _copy(files, place)
        written.append(place)
    return written


def _copy(files: Sequence[Path], place: Path) -> None:
    """Put files into a folder in which some may lie already; the record comes last.

    Raises:
        ValueError: where another file of one of their names lies there.
    """
    contents = {place / file.name: file.read_bytes() for file in files}
    for path, content in contents.items():
        if path.exists() and path.read_bytes() != content:
            raise ValueError(
                f"{path} is of another training and has no {store.RECORD} beside it: move it away,"
                " and publish again"
            )
    for path, content in contents.items():
        write_bytes(path, content)
