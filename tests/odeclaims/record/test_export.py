"""The archive of results, held against what the two specifications require."""

import csv
import hashlib
import io
import json
import re
import subprocess
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from odeclaims.cell import STATUSES
from odeclaims.claims import find_claims
from odeclaims.record.cite import bibtex
from odeclaims.record.datapackage import table_schema
from odeclaims.record.doi import read_doi
from odeclaims.record.export import export
from odeclaims.record.files import CorruptFile
from odeclaims.record.judged import Judged
from odeclaims.record.results import Results

RESULTS = Path(__file__).parents[3] / "results"
NAMES = ("universal_approximation", "backward_nfe")


def judged(out: Path = RESULTS) -> list[Judged]:
    return [Judged(Results(out, "quick", find_claims()[name])) for name in NAMES]


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return export(judged(), RESULTS, tmp_path_factory.mktemp("archive") / "record.zip")


@pytest.fixture(scope="module")
def files(archive) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as file:
        return {name: file.read(name) for name in file.namelist()}


def test_the_same_results_give_the_same_bytes(archive, tmp_path):
    again = export(judged(), RESULTS, tmp_path / "again.zip")
    assert again.read_bytes() == archive.read_bytes()


def test_the_archive_has_the_files_of_the_record(files):
    for name in NAMES:
        for file in ("data.csv", "verdict.json", "provenance.json", "table.csv", "hashes.csv"):
            place = f"quick/{name}/{file}"
            assert files[place] == (RESULTS / place).read_bytes()
    assert files["registry.csv"] == (RESULTS / "registry.csv").read_bytes()
    assert "trained/table1-mlp-0/weights.safetensors" in files


def test_sha256sum_finds_every_file_whole(archive, tmp_path):
    zipfile.ZipFile(archive).extractall(tmp_path)
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == sum(p.is_file() for p in tmp_path.rglob("*")) - 1


# --- https://specs.frictionlessdata.io: "must" of data-package, data-resource, table-schema


@pytest.fixture(scope="module")
def package(files) -> dict[str, Any]:
    return json.loads(files["datapackage.json"])


def test_the_package_has_what_the_specification_requires(package, files):
    assert package["profile"] == "data-package"
    assert re.fullmatch(r"[-a-z0-9._/]+", package["name"])
    assert all(each.keys() & {"name", "path"} for each in package["licenses"])
    assert all(each["title"] for each in package["contributors"])
    datetime.fromisoformat(package["created"])
    names = [each["name"] for each in package["resources"]]
    assert len(names) == len(set(names)) > 0
    for resource in package["resources"]:
        assert re.fullmatch(r"[-a-z0-9._/]+", resource["name"])
        path = resource["path"]
        assert not path.startswith(("/", "~", ".."))
        assert ".." not in path.split("/")
        assert resource["bytes"] == len(files[path])
        assert resource["hash"] == f"sha256:{hashlib.sha256(files[path]).hexdigest()}"
    described = {each["path"] for each in package["resources"]}
    assert set(files) - described == {"datapackage.json", "ro-crate-metadata.json", "SHA256SUMS"}


def fits(text: str, kind: str) -> bool:
    """Whether a text is one of a type of the table schema, with its defaults."""
    if kind == "boolean":
        return text in ("true", "True", "TRUE", "1", "false", "False", "FALSE", "0")
    if kind == "integer":
        return bool(re.fullmatch(r"[+-]?\d+", text))
    if kind == "number":
        return bool(re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|NaN|INF|-INF", text))
    return kind in ("string", "any")


def test_every_row_fits_the_schema_of_its_columns(package, files):
    tables = [each for each in package["resources"] if "schema" in each]
    assert len(tables) == len(NAMES)
    for table in tables:
        assert table["profile"] == "tabular-data-resource"
        assert table["encoding"] == "utf-8"
        fields = table["schema"]["fields"]
        assert all(field["name"] and field["description"] for field in fields)
        assert table["schema"]["missingValues"] == [""]
        heading, *rows = csv.reader(io.StringIO(files[table["path"]].decode(), newline=""))
        assert heading == [field["name"] for field in fields]
        for row in rows:
            for text, field in zip(row, fields, strict=True):
                assert text == "" or fits(text, field["type"]), (field, text)
        (status,) = [field for field in fields if field["name"] == "status"]
        assert status["constraints"] == {"required": True, "enum": list(STATUSES)}


def test_the_types_of_columns_are_those_of_what_stands_in_them():
    claim = find_claims()["universal_approximation"]
    columns: dict[str, Any] = {key: [1.5, None] for key in claim.all_columns}
    columns |= {"seed": [2**62, 1], "status": ["ok", "oom"], "repetition": [None, 0.0]}
    first, second, *_ = claim.columns
    columns |= {first: [True, None], second: [float("inf"), 1.0]}
    types = {f["name"]: f["type"] for f in table_schema(claim, pd.DataFrame(columns))["fields"]}
    assert (types["seed"], types["status"], types["repetition"]) == ("integer", "string", "number")
    # The specification writes an infinite number otherwise than pandas.
    assert (types[first], types[second]) == ("boolean", "any")


# --- https://w3id.org/ro/crate/1.1: "MUST" of the metadata file, the root and the entities


def test_the_crate_has_what_the_specification_requires(files):
    crate = json.loads(files["ro-crate-metadata.json"])
    context, graph = crate["@context"], {each["@id"]: each for each in crate["@graph"]}
    assert context[0] == "https://w3id.org/ro/crate/1.1/context"
    assert len(graph) == len(crate["@graph"])
    assert all(each["@type"] for each in graph.values())
    descriptor, root = graph["ro-crate-metadata.json"], graph["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert root["@type"] == "Dataset"
    assert root["name"]
    assert root["description"]
    datetime.fromisoformat(root["datePublished"])
    assert graph[root["license"]["@id"]]["name"] == "MIT License"
    # The graph is flat: what is named is there.
    named = set(re.findall(r'\{"@id": "([^"]+)"\}', json.dumps(crate["@graph"])))
    assert named - set(graph) == {"https://w3id.org/ro/crate/1.1"}
    # Every file is part of the root, directly or as a part of its parts.
    parts = {part["@id"] for each in graph.values() for part in each.get("hasPart", [])}
    of_type = {each["@id"] for each in graph.values() if each["@type"] == "File"}
    assert of_type == set(files) - {"ro-crate-metadata.json"}
    assert of_type <= parts
    assert all(
        each.endswith("/") and each in parts
        for each in graph
        if each.startswith("quick") and graph[each]["@type"] == "Dataset"
    )


def test_the_crate_says_what_made_each_result(files):
    graph = {e["@id"]: e for e in json.loads(files["ro-crate-metadata.json"])["@graph"]}
    for name in NAMES:
        made = json.loads(files[f"quick/{name}/provenance.json"])
        run = graph[f"#run-quick-{name}"]
        assert run["@type"] == "CreateAction"
        assert run["startTime"] == made["started"]
        assert graph[run["result"]["@id"]]["sha256"] == made["data_sha256"]
        software, machine = (graph[each["@id"]] for each in run["instrument"])
        assert made["commit"] in software["softwareVersion"]
        assert f"torch {made['packages']['torch']}" in software["softwareRequirements"]
        assert made["cpu"] in machine["description"]


# --- the DOI


def test_a_doi_stands_in_the_archive_and_in_the_citation(tmp_path):
    (one, _), doi = judged(), "10.5281/zenodo.1234567"
    assert "doi" not in bibtex(one)
    for path in one.results.folder.iterdir():
        if path.suffix in (".csv", ".json"):
            target = one.results.within(tmp_path).folder / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (tmp_path / "DOI").write_text(f"{doi}\n")
    one = Judged(one.results.within(tmp_path))
    assert f"  doi = {{{doi}}},\n" in bibtex(one)
    with zipfile.ZipFile(export([one], tmp_path, tmp_path / "x.zip")) as file:
        package, crate = (
            json.loads(file.read(name)) for name in ("datapackage.json", "ro-crate-metadata.json")
        )
    assert package["id"] == f"https://doi.org/{doi}"
    assert {"identifier": f"https://doi.org/{doi}"}.items() <= crate["@graph"][1].items()


@pytest.mark.parametrize("text", ["", "soon", "10.5281/a b", "10.5281/x} evil"])
def test_what_is_no_doi_is_named(tmp_path, text):
    (tmp_path / "DOI").write_text(text)
    with pytest.raises(CorruptFile, match="expected a DOI such as"):
        read_doi(tmp_path)
