"""A toy claim whose cells take a moment each, and the command line on it as a process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd

from tests.odeclaims.forked import Forked

ROOT = Path(__file__).parents[3]


TOY = """
import time
from pathlib import Path

from matplotlib.figure import Figure

from neural_ode import StepUnderflow
from odeclaims.cell import Cell
from odeclaims.claim import Claim, Column
from odeclaims.rules import Bounds, Exact
from odeclaims.statement import Size, Statement

def cells(profile):
    for repetition in profile.repetitions(smoke=6, quick=6, paper=8):
        yield Cell("toy", {"delay_s": DELAY}, repetition)

def alone(cell):
    return cell.repetition % 3 == 2

def measure(cell, context):
    time.sleep(cell.params["delay_s"])
    TROUBLE
    return [{"x": float(cell.generator().initial_seed() % 97), "time_s": time.perf_counter()}]

def x_of(df):
    return df["x"]

def whole(df):
    return 1.0

STATEMENTS = [
    Statement("x_is_small", "x is below 97", x_of, Exact(Bounds(at_most=96), least=2),
              "a remainder", central=True)
]
SIZE = Size("six numbers", whole)

def figure(df):
    return Figure()

def table(df):
    return df[["repetition", "x"]]

CLAIM = Claim(
    slug="toy", title="A toy", statement="x is below 97.", source="nowhere", ledger=[],
    deviations=["all of it"],
    columns={
        "delay_s": Column("seconds of sleep"), "x": Column("a number"),
        "time_s": Column("a clock", varies=True),
    },
    module=__name__,
)
CLAIMS = [CLAIM]
"""


MAIN = """
from odeclaims.cli import choose, main
import toy

choose.find_claims = lambda: {"toy": toy.CLAIM}
main()
"""


class Toy(Forked):
    """A folder with the toy claim and a command line that knows it."""

    module = "toy"

    def __init__(self, folder: Path, forks: subprocess.Popen) -> None:
        super().__init__(folder, forks)
        (folder / "main.py").write_text(MAIN)
        self.claim()

    def claim(self, delay: float = 0.0, trouble: str = "pass") -> None:
        (self.folder / "toy.py").write_text(
            TOY.replace("DELAY", str(delay)).replace("TROUBLE", trouble)
        )

    def as_a_user(self, *arguments: str) -> subprocess.Popen:
        """A process that imports everything itself, and so do its workers."""
        paths = [str(self.folder), str(ROOT / "reference"), str(ROOT / "suites")]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            "COLUMNS": "200",
            "PYTHONDONTWRITEBYTECODE": "1",
            # As the runs that are forked have it: some locks lie there.
            "TMPDIR": str(self.folder.parent),
        }
        return subprocess.Popen(
            [sys.executable, str(self.folder / "main.py"), *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell that starts the tests in the background has them ignore SIGINT, and so would
            # what they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def rows(self) -> pd.DataFrame:
        return pd.read_csv(self.out / "quick" / "toy" / "data.csv")

    def finished_cells(self) -> int:
        return len(list(self.out.glob("cells/toy/*.json")))


def one_sentence(errors: str) -> str:
    """The only line on stderr, without a traceback."""
    lines = errors.strip().splitlines()
    assert len(lines) == 1, errors
    assert "Traceback" not in errors
    return lines[0]
