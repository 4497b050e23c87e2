"""Nothing in a results folder is ever executed: what the sources call, what a checkpoint can do.

Rows and records are CSV and JSON, checkpoints are read with ``weights_only=True``, and no shell is
called at all.
"""

import ast
import os
import pickle
from pathlib import Path

import pytest

from neural_ode.checkpoint import load_state

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for folder in ("reference", "suites", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
# Whatever reads these formats runs what stands in them.
EXECUTING = {
    *(f"{module}.{name}" for module in ("pickle", "cloudpickle", "dill", "marshal")
      for name in ("load", "loads", "Unpickler")),
    *("joblib.load", "shelve.open", "pd.read_pickle", "pandas.read_pickle", "yaml.load"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"),
    *("eval", "exec"),
}  # fmt: skip
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "marshal", "shelve"}


def faults(text: str) -> list[str]:
    """What a source does that could run what stands in a file, or text of a claim."""
    tree = ast.parse(text)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in FORBIDDEN_MODULES:
            found.append(f"from {node.module} import")
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if name in EXECUTING:
            found.append(name)
        if name == "torch.load" and keywords.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        for keyword in ("shell", "allow_pickle"):
            if keywords.get(keyword, "False") != "False":
                found.append(f"{keyword}=True")
    return found


@pytest.mark.parametrize(
    "text",
    [
        "pickle.load(file)",
        "pickle.loads(text)",
        "from pickle import load",
        "joblib.load(path)",
        "pd.read_pickle(path)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "subprocess.run(command, shell=True)",
        "subprocess.run(command, shell=wanted)",
        "os.system(command)",
        "eval(text)",
        "exec(text)",
    ],
)
def test_what_must_not_be_is_found(text):
    assert len(faults(text)) == 1


def test_no_source_runs_what_it_reads():
    assert len(SOURCES) > 50
    found = {str(path.relative_to(ROOT)): faults(path.read_text("utf-8")) for path in SOURCES}
    assert {path: what for path, what in found.items() if what} == {}


class Trap:
    """What is unpickled makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_that_is_a_trap_does_nothing(tmp_path):
    sprung, path = tmp_path / "sprung", tmp_path / "key.checkpoint"
    path.write_bytes(pickle.dumps(Trap(sprung), protocol=2))
    with pytest.warns(UserWarning, match="set aside as"):
        assert load_state(path, {}) is None
    assert not sprung.exists()
    assert not path.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists()
