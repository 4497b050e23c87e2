"""The registry of rules: which rule was in force since when, and why it was revised.

``registry.csv`` in the results folder has a line for each rule of each statement, in the order in
which they were registered: claim, statement, digest, revision, date, commit, reason. The checks of
the instrument and the published size have lines too, since outcomes rest on them: their names begin
with an underscore. Lines are added and never changed, but for the commit, which is not known before
there is one.

A result is registered before it was measured where every rule by which it is judged stood in the
registry of the commit that measured it, and the tree had no changes. The run writes that down.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from odeclaims.claim import Claim
from odeclaims.record.files import CorruptFile, write_text
from odeclaims.record.fingerprint import check_digest, rule_digest, size_digest
from odeclaims.record.provenance import ask_git, source_tree

FILE = "registry.csv"
FIRST = "first registered"


@dataclass(frozen=True)
class Entry:
    """One rule: whose it is, its digest, and since when."""

    claim: str
    statement: str
    digest: str
    revision: int
    date: str
    commit: str
    reason: str


def read_registry(out: Path) -> list[Entry]:
    """The entries of the registry of a results folder; none where there is no registry.

    Raises:
        CorruptFile: where the file is not a registry.
    """
    path = out / FILE
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CorruptFile(f"{path} is not a registry: it is not UTF-8 ({error.reason})") from None
    return _parse(text, path)


def _parse(text: str, path: Path) -> list[Entry]:
    names = [field.name for field in fields(Entry)]
    reader = csv.DictReader(io.StringIO(text))
    if reader.fieldnames != names:
        raise CorruptFile(f"{path} is not a registry: expected the columns {', '.join(names)}")
    try:
        entries = [_entry(row) for row in reader]
    except (TypeError, ValueError, csv.Error) as error:
        raise CorruptFile(f"{path} is not a registry: {error}") from None
    digests: dict[tuple[str, str, int], str] = {}
    for each in entries:
        known = digests.setdefault((each.claim, each.statement, each.revision), each.digest)
        if known != each.digest:
            raise CorruptFile(
                f"{path} has two rules of {each.claim}, {each.statement}, as revision"
                f" {each.revision}: {known} and {each.digest}"
            )
    return entries


def _entry(row: dict[str, Any]) -> Entry:
    values: dict[str, Any] = {**row, "revision": int(row["revision"])}
    if None in values.values():
        raise ValueError(f"the line of {row['claim']}, {row['statement']}, ends too early")
    return Entry(**values)


def write_registry(out: Path, entries: Iterable[Entry]) -> Path:
    """Write the registry of a results folder."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Entry)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(entry) for entry in entries)
    return write_text(out / FILE, text.getvalue())


def rules_of(claim: Claim) -> dict[str, str]:
    """The digest of the rule of each statement of a claim, of each check, and of its size."""
    return {
        **{statement.name: rule_digest(statement) for statement in claim.statements},
        **{f"_check_{check.name}": check_digest(check) for check in claim.checks},
        "_size": size_digest(claim.size),
    }


def unregistered(claim: Claim, entries: Sequence[Entry]) -> dict[str, str]:
    """The rules of a claim that are not the last registered ones of their statements."""
    last = _last(claim.slug, entries)
    return {
        name: digest
        for name, digest in rules_of(claim).items()
        if name not in last or (last[name].digest, last[name].revision) != (digest, claim.revision)
    }


def _last(slug: str, entries: Sequence[Entry]) -> dict[str, Entry]:
    return {entry.statement: entry for entry in entries if entry.claim == slug}


def register(claim: Claim, entries: Sequence[Entry], reason: str) -> list[Entry]:
    """The entries to add, so that every rule of a claim is registered.

    Args:
        claim: the claim.
        entries: those that there are.
        reason: why rules are revised; it is not asked for where they are new.

    Raises:
        ValueError: where a registered rule differs, or has gone while another one has come, and the
            claim's revision has not risen; where no reason is given for a rule of a claim that has
            others.
    """
    last, added = _last(claim.slug, entries), []
    missing = unregistered(claim, entries)
    _check_names(claim, last, [name for name in missing if name not in last])
    for name, digest in missing.items():
        before = last.get(name)
        if before and before.digest != digest and before.revision >= claim.revision:
            raise ValueError(
                f"the rule of {claim.slug}, {name}, differs from the one registered as revision"
                f" {before.revision}; raise the revision of the claim, which gives it new seeds"
            )
        if before and not reason:
            raise ValueError(
                f"the rule of {claim.slug}, {name}, is registered as revision {before.revision};"
                " --reason says why it is revised"
            )
        if last and not reason:
            raise ValueError(
                f"{claim.slug} has registered rules, and {name} is not one of them; --reason says"
                " why it is added"
            )
        today = datetime.now(UTC).date().isoformat()
        why = reason if last else FIRST
        added.append(Entry(claim.slug, name, digest, claim.revision, today, "", why))
    return added


def register_all(claims: Iterable[Claim], out: Path, reason: str) -> tuple[int, int]:
    """Register every rule of some claims in a results folder, one command at a time.

    Returns:
        How many lines were added, and how many stood there.

    Raises:
        CorruptFile: where the registry cannot be read.
        ValueError: as ``register``.
    """
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / f"{FILE}.lock"):
        entries = read_registry(out)
        added = [entry for claim in claims for entry in register(claim, entries, reason)]
        write_registry(out, [*fill_commits(out, entries), *added])
    return len(added), len(entries)


def _check_names(claim: Claim, last: Mapping[str, Entry], new: Sequence[str]) -> None:
    """Raise ValueError where a new name may be that of a rule that was registered by another."""
    rules = rules_of(claim)
    gone = [n for n, e in last.items() if e.revision == claim.revision and n not in rules]
    if gone and new:
        raise ValueError(
            f"{claim.slug} no longer has the rule {gone[0]}, registered as revision"
            f" {claim.revision}, and has the new one {new[0]}; raise the revision of the claim,"
            " which gives it new seeds"
        )


def fill_commits(out: Path, entries: Sequence[Entry]) -> list[Entry]:
    """The entries with the first commit that has each, as far as the history is at hand."""
    if _is_shallow(out):
        return [*entries]
    return [e if e.commit else replace(e, commit=_first_commit(out, e)) for e in entries]


def _is_shallow(out: Path) -> bool:
    """Whether the checkout has the last commits alone, as that of ``git clone --depth``."""
    return ask_git("rev-parse", "--is-shallow-repository", folder=out) == "true"


def _first_commit(out: Path, entry: Entry) -> str:
    wanted = f"{entry.claim},{entry.statement},{entry.digest},{entry.revision},"
    found = ask_git("log", "--reverse", "--format=%H", f"-S{wanted}", "--", FILE, folder=out)
    return (found or "").partition("\n")[0]


def registration(
    claim: Claim, rules: Mapping[str, str], out: Path, commits: Iterable[str]
) -> dict[str, Any]:
    """What a run writes down: the revision, its rules, and which of them were registered.

    Args:
        claim: the claim.
        rules: the digests of its rules, taken before the run measured: they come from the text of
            files, which may be changed meanwhile.
        out: the results folder; where it has no registry, that of the source tree counts.
        commits: those that measured the cells. A rule counts as registered where each has it; what
            lies in the folder without being committed does not count.
    """
    stood = [_committed(claim, commit, out) for commit in commits]
    registered = [
        name
        for name, rule in rules.items()
        if stood and all((name, rule, claim.revision) in entries for entries in stood)
    ]
    return {"revision": claim.revision, "rules": {**rules}, "registered": sorted(registered)}


def _committed(claim: Claim, commit: str, out: Path) -> set[tuple[str, str, int]]:
    """The statement, digest and revision of the claim's rules that a commit had."""
    for folder in (out, source_tree() / "results"):
        text = ask_git("show", f"{commit}:./{FILE}", folder=folder) if folder.exists() else None
        if text:
            entries = _parse(text, folder / FILE)
            return {(e.statement, e.digest, e.revision) for e in entries if e.claim == claim.slug}
    return set()


def why_not_registered(claim: Claim, made: Mapping[str, Any]) -> str:
    """Why a result does not count as registered before it was measured; "" where it does.

    Args:
        claim: the claim, with the rules that are in force now.
        made: the provenance of the result.
    """
    if made.get("rules") is None:
        return "it was measured before rules were registered"
    if made["commit"] is None:
        return "it was measured where the code has no history, as in an installed package"
    if not made["clean_tree"]:
        return "it was measured with uncommitted changes"
    if made["revision"] != claim.revision:
        return f"it was measured by revision {made['revision']} of the rules"
    # Results of before 30 November 2026 say nothing of checks and sizes.
    now = {
        name: rule
        for name, rule in rules_of(claim).items()
        if name in made["rules"] or not name.startswith("_")
    }
    changed = sorted(name for name in now if made["rules"].get(name) != now[name])
    if changed:
        return f"{_several(changed)} changed after it was measured"
    missing = sorted(set(now) - set(made["registered"] or ()))
    if missing:
        return f"{_several(missing)} was not registered in the commit that measured it"
    return ""


def _several(names: Sequence[str]) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"the rule of {names[0]}{more}"


def check_history(claim: Claim, made: Mapping[str, Any], out: Path) -> str:
    """What the history says against a result that claims to be registered; "" for nothing.

    Without a history, as in an installed package, or without the whole of it, there is nothing to
    say.
    """
    if why_not_registered(claim, made) or ask_git("rev-parse", "HEAD", folder=out) is None:
        return ""
    if _is_shallow(out):
        return ""
    for commit in made["cells_made_at_commits"]:
        if ask_git("merge-base", "--is-ancestor", commit, "HEAD", folder=out) is None:
            return f"the commit {commit[:10]} that measured it is no ancestor of this one"
        stood = {(name, rule) for name, rule, _ in _committed(claim, commit, out)}
        missing = sorted(set(made["rules"].items()) - stood)
        if missing:
            return f"the registry of the commit {commit[:10]} lacks {_several([missing[0][0]])}"
    return ""
