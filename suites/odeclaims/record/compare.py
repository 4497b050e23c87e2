"""Two results folders side by side: which statements came out otherwise, and which numbers moved.

It reads what stands in the folders and nothing of the claims' code, so that two commits, machines
or profiles can be compared even where a claim has changed in between.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from odeclaims.cell import PROFILES
from odeclaims.record.files import CorruptFile, escape_controls
from odeclaims.record.schema import read_verdict
from odeclaims.record.wording import describe_value, number

DECIDED = ("reproduced", "not reproduced")
COLUMNS = ["claim", "statement", "before", "after", "says", "state", "outcome"]


@dataclass(frozen=True)
class Comparison:
    """What came of it.

    Attributes:
        statements: a row for each statement that either folder has of a claim that both have:
            claim (and profile), statement, before, after, what there is to say ("" for nothing),
            state: "agrees", "differs", "not compared"; and outcome: "same", "changed", or "" where
            the two folders asked for different things.
        alone: claims that only one folder has, a sentence each.
    """

    statements: pd.DataFrame
    alone: list[str]

    @property
    def differing(self) -> pd.DataFrame:
        """The statements that differ."""
        return self.statements[self.statements["state"] == "differs"]

    @property
    def summary(self) -> str:
        """The last line: "37 of 37 outcomes are the same; 31 of 33 statements agree; 2 differ: a,
        b; 4 not judged in both".

        Two runs of one commit, on two machines, should have every outcome in common.
        """
        states = self.statements["state"].value_counts().to_dict()
        agree, differ = states.get("agrees", 0), states.get("differs", 0)
        names = [f"{row.claim} {row.statement}" for row in self.differing.itertuples()]
        parts = [self._outcomes, f"{agree} of {agree + differ} statements agree"]
        parts += [f"{differ} {'differs' if differ == 1 else 'differ'}: {', '.join(names)}"] * (
            differ > 0
        )
        left = states.get("not compared", 0)
        parts += [f"{left} not judged in both"] * (left > 0)
        return "; ".join(parts)

    @property
    def _outcomes(self) -> str:
        asked_alike = self.statements[self.statements["outcome"] != ""]
        changed = asked_alike[asked_alike["outcome"] == "changed"]
        same = f"{len(asked_alike) - len(changed)} of {len(asked_alike)} outcomes are the same"
        names = [f"{row.claim} {row.statement} ({row.says})" for row in changed.itertuples()]
        return same + (f", changed: {', '.join(names)}" if names else "")


# Verdicts by profile and claim; the profile is "" where they lie in the folder of one.
Verdicts = dict[tuple[str, str], dict[str, Any]]


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
    old, new = read_verdicts(before), read_verdicts(after)
    comparison = compare_verdicts(old, new)
    if comparison.statements.empty:
        raise ValueError(
            f"{before} and {after} have no claim in common; expected two results folders, or two"
            " folders of a profile"
        )
    alone = [
        f"{name_claim(*key)} is in {folder} alone"
        for folder, own, other in ((before, old, new), (after, new, old))
        for key in sorted(set(own) - set(other))
    ]
    return replace(comparison, alone=alone)


def compare_verdicts(old: Verdicts, new: Verdicts) -> Comparison:
    """Compare the verdicts of the claims that both have."""
    rows = [
        {"claim": name_claim(*key), **row}
        for key in sorted(set(old) & set(new))
        for row in _statements(old[key], new[key])
    ]
    return Comparison(pd.DataFrame(rows, columns=COLUMNS), [])


def read_verdicts(folder: Path) -> Verdicts:
    """The verdicts in a results folder, or in the folder of a profile.

    Raises:
        FileNotFoundError: where there are none.
        CorruptFile: where a file is not a verdict.
    """
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


def name_claim(profile: str, slug: str) -> str:
    """A claim, with its profile where there is one."""
    # It is the name of a folder, which may hold anything.
    slug = escape_controls(slug)
    return f"{slug} ({profile})" if profile else slug


def _statements(old: dict[str, Any], new: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Each statement that either verdict has, with both values and what there is to say."""
    before, after = ({s["name"]: s for s in verdict["statements"]} for verdict in (old, new))
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name), after.get(name)
        state, says, outcome = "not compared", "in one alone", ""
        if one and other:
            state, says = compare_statement(one, other)
            if _ask_alike(one, other):
                outcome = "same" if one["outcome"] == other["outcome"] else "changed"
        yield {
            "statement": name,
            "before": _text(one),
            "after": _text(other),
            "says": says,
            "state": state,
            "outcome": outcome,
        }


def compare_statement(one: dict[str, Any], other: dict[str, Any]) -> tuple[str, str]:
    """Whether two judgements of a statement agree, and what there is to say.

    They differ where one is reproduced and the other is not, and where the number of either lies
    outside the 95% prediction interval that follows from both: a new run differs by chance from the
    first as much as the first from the truth, so that the two spreads add up. What one of them
    could not decide is not compared.
    """
    if not _ask_alike(one, other):
        return "not compared", f"asked for {one['holds_if']}, then {other['holds_if']}"
    outcomes = (one["outcome"], other["outcome"])
    if outcomes[0] != outcomes[1]:
        state = "differs" if all(o in DECIDED for o in outcomes) else "not compared"
        return state, f"{outcomes[0]} became {outcomes[1]}"
    if one["value"] is None or other["value"] is None:
        return "not compared", ""
    if _moved(one, other):
        return "differs", "beyond the prediction interval"
    return "agrees", ""


def _ask_alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two judgements come from the same kind of rule with the same bound."""
    return (one["kind"], one["holds_if"]) == (other["kind"], other["holds_if"])


def _moved(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two numbers are farther apart than two runs are by chance."""
    low, high = sorted((one, other), key=lambda judgement: judgement["value"])
    reaches = [
        abs(end - each["value"])
        for each, side in ((low, 1), (high, 0))
        if each["interval"] and each["level"]
        for end in [each["interval"][side]]
    ]
    if not reaches:
        # A range over settings, or a single exact number: its outcome says it.
        return False
    # One spread alone stands for both.
    reach = math.hypot(*reaches) if len(reaches) == 2 else math.sqrt(2) * reaches[0]
    return high["value"] - low["value"] > reach


def _text(judgement: dict[str, Any] | None) -> str:
    if judgement is None:
        return ""
    if judgement["value"] is None:
        return judgement["lacking"]
    words = describe_value(
        judgement["value"], judgement["interval"], judgement["level"], judgement["words"]
    )
    return words or number(judgement["value"])
