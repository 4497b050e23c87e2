"""A description of results as an RO-Crate, version 1.1: what made them, and which files they are.

The specification: https://w3id.org/ro/crate/1.1. Each result is a dataset, and the run that made it
a ``CreateAction`` with the software and the machine as its instruments.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from odeclaims import __version__
from odeclaims.cell import digest
from odeclaims.record.datapackage import AUTHORS, LICENSE, MEDIA, TITLE, latest_start
from odeclaims.record.files import sha256
from odeclaims.record.judged import Judged
from odeclaims.record.provenance import commit_of

CRATE = "ro-crate-metadata.json"
VERSION = "https://w3id.org/ro/crate/1.1"
# The context of 1.1 has no term for a digest; this one is that of workflow runs.
CONTEXT = [f"{VERSION}/context", {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}]

Entity = dict[str, Any]


def describe_crate(
    results: Sequence[Judged], names: Iterable[str], files: Mapping[str, bytes], doi: str
) -> dict[str, Any]:
    """The metadata of an archive of results.

    Args:
        results: those in it.
        names: all its files but for the metadata itself.
        files: the content of those whose size and digest are given.
        doi: the DOI of the record; "" for none.
    """
    entities = [_file(name, files.get(name)) for name in sorted(names)]
    sets = [_dataset(each, entities) for each in results]
    within = {part["@id"] for each in sets for part in each["hasPart"]}
    loose = [entity for entity in entities if entity["@id"] not in within]
    runs = [entity for each in results for entity in _run(each)]
    root = {
        "@id": "./",
        "@type": "Dataset",
        **({"identifier": f"https://doi.org/{doi}"} if doi else {}),
        "name": TITLE,
        "description": "Rows, verdicts, tables and provenance of every result.",
        "datePublished": latest_start(results)[:10],
        "version": __version__,
        "license": {"@id": LICENSE["path"]},
        "author": {"@id": "#authors"},
        "hasPart": _refer([*sets, *loose]),
        "mentions": _refer(run for run in runs if run["@type"] == "CreateAction"),
    }
    descriptor = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": VERSION},
        "about": {"@id": "./"},
    }
    others = [
        {"@id": LICENSE["path"], "@type": "CreativeWork", "name": LICENSE["title"]},
        {"@id": "#authors", "@type": "Organization", "name": AUTHORS},
    ]
    graph = [descriptor, root, *others, *sets, *entities, *runs]
    # One machine and one version of the software made many results.
    return {"@context": CONTEXT, "@graph": list({e["@id"]: e for e in graph}.values())}


def _refer(entities: Iterable[Entity]) -> list[Entity]:
    return [{"@id": entity["@id"]} for entity in entities]


def _file(name: str, content: bytes | None) -> Entity:
    path = PurePosixPath(name)
    known = {"contentSize": str(len(content)), "sha256": sha256(content)} if content else {}
    return {
        "@id": name,
        "@type": "File",
        "name": path.name,
        "encodingFormat": MEDIA.get(path.suffix, "text/plain"),
        **known,
    }


def _dataset(judged: Judged, entities: Sequence[Entity]) -> Entity:
    place = f"{judged.profile}/{judged.claim.slug}/"
    return {
        "@id": place,
        "@type": "Dataset",
        "name": f"{judged.claim.title} (profile {judged.profile})",
        "description": f"{judged.claim.statement} Source: {judged.claim.source}.",
        "hasPart": _refer(e for e in entities if e["@id"].startswith(place)),
    }


def _run(judged: Judged) -> list[Entity]:
    """The action that made a result, and what it was made with."""
    made, place = judged.provenance, f"{judged.profile}/{judged.claim.slug}"
    packages = ", ".join(f"{name} {version}" for name, version in made["packages"].items())
    software = {
        "@id": f"#software-{digest(made['odeclaims'], commit_of(made), packages, made['python'])}",
        "@type": "SoftwareApplication",
        "name": "odeclaims",
        "softwareVersion": f"{made['odeclaims']}, commit {commit_of(made)}",
        "softwareRequirements": f"Python {made['python']}, {packages}",
    }
    parts = [made["cpu"], f"{made['cores']} cores", made["system"], f"GPU {made['gpu'] or 'none'}"]
    machine = {
        "@id": f"#machine-{digest(*parts)}",
        "@type": "IndividualProduct",
        "name": made["gpu"] or made["cpu"],
        "description": ", ".join(parts),
    }
    action = {
        "@id": f"#run-{judged.profile}-{judged.claim.slug}",
        "@type": "CreateAction",
        "name": f"odeclaims run {judged.claim.slug} --profile {judged.profile}",
        "startTime": made["started"],
        "description": f"{made['cells']} cells, {made['duration_s']} s summed over them.",
        "instrument": [{"@id": software["@id"]}, {"@id": machine["@id"]}],
        "result": {"@id": f"{place}/data.csv"},
        "agent": {"@id": "#authors"},
    }
    return [action, software, machine]
