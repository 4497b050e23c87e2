"""What commands are asked about: the options that they share, and the results that these mean."""

import difflib
from pathlib import Path
from typing import Annotated

import typer

from odeclaims.cell import ProfileName
from odeclaims.claim import Claim
from odeclaims.claims import find_claims
from odeclaims.record.published import DISTRIBUTION, default_results, installed_record
from odeclaims.record.results import Results, read_results

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CLAIM]...", help="Claims by name; all where none is named."),
]


def _existing_folder(folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"--results is {folder}, which is not a folder")
    return folder


ReadFrom = Annotated[
    Path | None,
    typer.Option(
        "--results",
        metavar="FOLDER",
        callback=_existing_folder,
        help="The results that are read; by default those in results/, or else the published"
        " record of the package odeclaims-results.",
    ),
]
Out = Annotated[Path, typer.Option(help="The results folder that is written.")]
DrawnInto = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="The results folder that is written; by default the one that is read, or results/"
        " where that is the installed record.",
    ),
]
AnyProfile = Annotated[
    ProfileName | None, typer.Option(help="Only this profile; by default all that have results.")
]


def choose_claims(names: list[str] | None) -> list[Claim]:
    """The claims of these names, or all.

    Raises:
        ValueError: for a name that no claim has.
    """
    known = find_claims()
    for name in names or []:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the claims are {', '.join(known)}"
            raise ValueError(f"there is no claim {name!r}; {hint}")
    return [known[name] for name in dict.fromkeys(names or known)]


def choose_folders(results: Path | None, out: Path | None) -> tuple[Path, Path]:
    """The folder that a command which draws reads, and the one that it writes."""
    read = results or default_results()
    return read, out or (Path("results") if read == installed_record() else read)


def existing_results(
    claims: list[str] | None, profile: str | None, folder: Path | None
) -> list[Results]:
    """The results asked for, in the folder that is named or in the one that is read without a name.

    Raises:
        FileNotFoundError: where there are none, or none of a claim that was named.
    """
    chosen, out = choose_claims(claims), folder or default_results()
    results = read_results(out, chosen, profile)
    missing = sorted({c.slug for c in chosen} - {r.claim.slug for r in results})
    if not results or (claims and missing):
        what = ", ".join(missing) if claims else "any claim"
        if profile:
            call = " ".join(["odeclaims run", *(missing if claims else []), f"--profile {profile}"])
            raise FileNotFoundError(
                f"{out} has no results of {what} at the profile {profile}; `{call}` makes them"
            )
        raise FileNotFoundError(
            f"{out} has no results of {what}; `odeclaims run` makes them{_installable()}"
        )
    return results


def _installable() -> str:
    """Where the published results come from, if they are not installed; the end of a sentence."""
    return "" if installed_record() else f", and the package {DISTRIBUTION} has the published ones"


def leave_out_smoke(results: list[Results], profile: str | None) -> list[Results]:
    """Those that mean something: smoke walks the code, and is shown only where it is named."""
    return [r for r in results if profile or r.profile != "smoke"]
