"""The files by which the project is cited and joined say the same as what they are made from."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from odeclaims import __version__

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def read(path: str | Path) -> Any:
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


def test_zenodo_has_what_the_citation_file_says():
    cited = read("CITATION.cff")
    assert cited["version"] == __version__
    assert json.loads((ROOT / ".zenodo.json").read_text("utf-8")) == {
        "upload_type": cited["type"],
        "title": cited["title"],
        "description": cited["abstract"].strip(),
        "creators": [{"name": author["name"]} for author in cited["authors"]],
        "version": cited["version"],
        "license": cited["license"],
        "keywords": cited["keywords"],
        "related_identifiers": [
            {
                "identifier": paper["url"],
                "relation": "references",
                "resource_type": f"publication-{paper['type'].replace('-', '')}",
            }
            for paper in cited["references"]
        ],
    }


def test_the_workflow_runs_the_script_on_three_pythons_and_builds_the_pages():
    jobs = read(".github/workflows/ci.yml")["jobs"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pythons = jobs["checks"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13"]
    assert project["requires-python"] == f">={pythons[0]}"
    assert [step["run"] for step in jobs["checks"]["steps"] if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert jobs["site"]["steps"][-2]["run"] == "tox run -e site"
    assert jobs["site"]["steps"][-1]["with"]["path"] == "site"


@pytest.mark.parametrize(("end", "code"), [("0", 0), ("3", 1)])
def test_checks_beside_each_other_all_run_and_fail_if_one_does(end, code):
    programs = ("print(6 * 7)", f"import sys; sys.exit({end})")
    commands = [shlex.join([sys.executable, "-c", program]) for program in programs]
    script = [sys.executable, str(ROOT / ".ci" / "together.py"), *commands]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "\n42\n" in done.stdout
    assert (f"failed: {commands[1]}" in done.stdout) == bool(code)


def pins(name: str) -> dict[str, str]:
    """The versions in a file of constraints."""
    lines = (ROOT / "requirements" / name).read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {re.sub(r"[-_.]+", "-", package): version for package, version in pairs}


def test_the_oldest_versions_are_those_that_the_ranges_begin_with():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    ranges = [*project["dependencies"], *extras["suite"], *extras["test"]]
    pairs = [re.split(">=|==", each) for each in ranges if each != "odeclaims[suite]"]
    begins, oldest = dict(pairs), pins("oldest.txt")
    assert sorted(begins) == list(oldest)
    for name, begin in begins.items():
        assert f"{oldest[name]}.".startswith(f"{begin}.")


def test_the_lock_file_has_the_versions_of_the_constraints_and_names_pypi_alone():
    text = (ROOT / "uv.lock").read_text("utf-8")
    assert set(re.findall(r"https?://([^/\"]+)", text)) == {"pypi.org", "files.pythonhosted.org"}
    assert not re.search(r'"/|file:|path = ', text)
    packages = tomllib.loads(text)["package"]
    # Where a version does not run on every Python there is a second one.
    locked = {(package["name"], package.get("version")) for package in packages}
    assert pins("constraints.txt").items() <= locked
    assert next(p for p in packages if p["name"] == "odeclaims")["source"] == {"editable": "."}


def test_pre_commit_runs_the_commands_of_lint():
    (local,) = read(".pre-commit-config.yaml")["repos"]
    lint = (ROOT / "tox.ini").read_text("utf-8").partition("[testenv:lint]")[2].partition("\n[")[0]
    commands = lint.partition("commands =\n")[2].splitlines()
    ours = [hook["entry"] for hook in local["hooks"]]
    assert ours == [command.strip().removesuffix(" .") for command in commands if command]
    assert {hook["language"] for hook in local["hooks"]} == {"system"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_asks_for_something(path):
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    names = [part["id"] for part in form["body"]]
    assert len(names) == len(set(names))
    for part in form["body"]:
        assert part["type"] in ("input", "textarea", "dropdown", "checkboxes")
        assert part["attributes"]["label"]
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_an_issue_form_names_pages_and_headings_that_there_are():
    assert {path.stem for path in FORMS} == {"wrong_claim", "new_claim", "new_solver"}
    text = " ".join(" ".join(path.read_text("utf-8").split()) for path in FORMS)
    for page, heading in re.findall(r'([\w/]+\.md)(?:, "([^"]+)")?', text):
        assert f"## {heading}" in (ROOT / page).read_text("utf-8") if heading else True
        assert (ROOT / page).exists()
