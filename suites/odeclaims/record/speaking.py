"""Which result speaks for a claim."""

from collections.abc import Sequence

from odeclaims.record.judged import Judged
from odeclaims.record.wording import choose_speaker, format_value
from odeclaims.statement import Verdict


def speaking(results: Sequence[Judged]) -> list[Judged]:
    """The result that speaks for each claim: of the largest scale, then of the most seeds.

    They come in the order in which their claims first come.
    """
    chosen = []
    for slug in dict.fromkeys(judged.claim.slug for judged in results):
        of_claim = [judged for judged in results if judged.claim.slug == slug]
        best = choose_speaker(of_claim, lambda j: j.verdict.scale, lambda j: j.verdict.seeds)
        chosen += [best] if best else []
    return chosen


def first_central(verdict: Verdict) -> str:
    """The first central statement with its number, in a few words."""
    first = verdict.central[0]
    return f"{first.statement.text}: {format_value(first)}"
