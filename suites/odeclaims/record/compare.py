"""Two results folders side by side: which verdicts changed, and which numbers moved.

It reads what stands in the folders and nothing of the claims' code, so that two commits, machines
or profiles can be compared even where a claim has changed in between.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from odeclaims.cell import PROFILES
from odeclaims.record.files import CorruptFile, escape_controls
from odeclaims.record.schema import read_verdict
from odeclaims.record.wording import number


@dataclass(frozen=True)
class Comparison:
    """What came of it.

    Attributes:
        verdicts: a row for each claim that both folders have: claim (and profile),
            before, after, changed.
        numbers: a row for each criterion of those: claim, criterion, before, after, and moved:
            what there is to say, "" where it is the same.
        alone: claims that only one folder has, a sentence each.
    """

    verdicts: pd.DataFrame
    numbers: pd.DataFrame
    alone: list[str]

    @property
    def changed(self) -> bool:
        """Whether any claim's verdict changed."""
        return bool(self.verdicts["changed"].any())


def compare(before: Path, after: Path) -> Comparison:
    """Compare all verdicts of two folders.

    Args:
        before: a results folder, or the folder of one of its profiles.
        after: the other; two profiles are compared where both are those of a profile.

    Raises:
        FileNotFoundError: where a folder has no verdicts.
        ValueError: where the two have no claim in common.
        CorruptFile: where a file is not a verdict.
    """
    old, new = _verdicts(before), _verdicts(after)
    common = sorted(set(old) & set(new))
    if not common:
        raise ValueError(
            f"{before} and {after} have no claim in common; expected two results folders, or two"
            " folders of a profile"
        )
    alone = [
        f"{_name(*key)} is in {folder} alone"
        for folder, own, other in ((before, old, new), (after, new, old))
        for key in sorted(set(own) - set(other))
    ]
    verdicts = [
        {
            "claim": _name(profile, slug),
            "before": old[profile, slug]["outcome"],
            "after": new[profile, slug]["outcome"],
            "changed": old[profile, slug]["outcome"] != new[profile, slug]["outcome"],
        }
        for profile, slug in common
    ]
    numbers = [
        {"claim": _name(profile, slug), **row}
        for profile, slug in common
        for row in _numbers(old[profile, slug], new[profile, slug])
    ]
    columns = ["claim", "criterion", "before", "after", "moved"]
    return Comparison(pd.DataFrame(verdicts), pd.DataFrame(numbers, columns=columns), alone)


def _verdicts(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The verdicts by profile and claim; the profile is "" where the folder is that of one."""
    verdicts = {
        (profile, path.parent.name): _verdict(path)
        for profile in ("", *PROFILES)
        for path in sorted((folder / profile).glob("*/verdict.json"))
    }
    if not verdicts:
        raise FileNotFoundError(
            f"{folder} holds no verdict.json of a claim; `odeclaims run` makes it"
        )
    return verdicts


def _verdict(path: Path) -> dict[str, Any]:
    verdict = read_verdict(path)
    if verdict["claim"] != path.parent.name:
        raise CorruptFile(f"{path} is that of the claim {verdict['claim']}")
    return verdict


def _name(profile: str, slug: str) -> str:
    # It is the name of a folder, which may hold anything.
    slug = escape_controls(slug)
    return f"{slug} ({profile})" if profile else slug


def _numbers(old: dict[str, Any], new: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Each criterion that either verdict has, with both values and what there is to say."""
    before, after = ({c["name"]: c for c in verdict["criteria"]} for verdict in (old, new))
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name), after.get(name)
        yield {
            "criterion": name,
            "before": _text(one),
            "after": _text(other),
            "moved": describe_change(one, other) if one and other else "in one alone",
        }


def describe_change(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What changed between two judgements of a criterion; "" where nothing that matters did.

    A number has moved where it lies outside the other's 95% interval, and the other outside its
    own. Where neither has one, as for a worst case, any difference in the third digit is named.
    """
    said = []
    if one["reproduced_if"] != other["reproduced_if"]:
        said.append(f"asked for {one['reproduced_if']}, then {other['reproduced_if']}")
    if one["outcome"] != other["outcome"]:
        said.append(f"{one['outcome']} became {other['outcome']}")
    a, b = one["value"], other["value"]
    if a is not None and b is not None:
        spreads = [s for s in (_holds(one, b), _holds(other, a)) if s is not None]
        if spreads and not any(spreads):
            said.append("beyond its interval")
        elif not spreads and number(a) != number(b):
            said.append("differs, no interval")
    return "; ".join(said)


def _holds(judgement: dict[str, Any], value: float) -> bool | None:
    """Whether the judgement's interval holds the value; ``None`` where it has no interval."""
    spread = judgement["interval_95"]
    return spread[0] <= value <= spread[1] if spread else None


def _text(judgement: dict[str, Any] | None) -> str:
    if judgement is None:
        return ""
    if judgement["value"] is None:
        return judgement["lacking"]
    text, spread = number(judgement["value"]), judgement["interval_95"]
    return f"{text} [{number(spread[0])}, {number(spread[1])}]" if spread else text
