"""The scorecard: every kind of fault fails its check, and a solver without faults passes."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from neural_ode import Backprop, solve
from neural_ode.networks import MLPField
from odeclaims.backends import Backend, Prepared
from odeclaims.backends.ours import Ours
from odeclaims.conform import CHECKS, Check, Finding, Scorecard, problems
from odeclaims.report.conform import page, write
from odeclaims.workloads import loss_of

ROOT = Path(__file__).parents[2]

# A field that takes notes is not of the class whose annotations are checked.
pytestmark = pytest.mark.usefixtures("unchecked")


def check(name: str) -> Check:
    (found,) = [check for check in CHECKS if check.name == name]
    return found


# --- solvers with one fault each


class Altered(Ours):
    """Ours, but for what a subclass does to the question or to the answer."""

    def asked(self, problem, how):
        return problem, how

    def answered(self, answer, problem, how):
        return answer

    def prepare(self, problem, **how):
        question, settings = self.asked(problem, dict(how))
        work = super().prepare(question, **settings)
        return Prepared(work.run, lambda done: self.answered(work.answer(done), problem, how))


class LowerOrder(Altered):
    def asked(self, problem, how):
        return problem, how | {"method": "bosh3"}


class DeafToTolerance(Altered):
    def asked(self, problem, how):
        return problem, how | {"tol": 1e-3}


class Looser(Altered):
    def asked(self, problem, how):
        return problem, how | {"tol": how["tol"] ** 0.5}


class SevenStages(Altered):
    def answered(self, answer, problem, how):
        return replace(answer, nfe_forward=2 + (answer.nfe_forward - 2) * 7 // 6)


class Miscounting(Altered):
    def answered(self, answer, problem, how):
        return replace(answer, nfe_forward=answer.nfe_forward - 1)


class GradientOffByAPercent(Altered):
    def answered(self, answer, problem, how):
        gradient = answer.gradient
        return answer if gradient is None else replace(answer, gradient=1.01 * gradient)


class GradientOfTheFlow(Altered):
    """What it calls backprop is an adjoint."""

    def asked(self, problem, how):
        return problem, how | {"gradient": "adjoint"}


class AdjointThatKeepsAll(Altered):
    def asked(self, problem, how):
        return problem, how | {"gradient": "backprop"}


class SwallowsNaN(Altered):
    def prepare(self, problem, **how):
        work = super().prepare(problem, **how)

        def run():
            try:
                return work.run()
            except RuntimeError:
                return None

        def answer(done):
            if done is not None:
                return work.answer(done)
            return super(SwallowsNaN, self).prepare(OF_ZEROS, **how).answer(OF_ZEROS_DONE)

        return Prepared(run, answer)


OF_ZEROS = replace(problems.tiny(), y0=torch.zeros(1, 3, dtype=torch.float64))
OF_ZEROS_DONE = Ours().prepare(OF_ZEROS, method="dopri5", tol=1e-3, gradient=None).run()


class SortsTimes(Altered):
    """Returns the states in the order of the sorted times."""

    def asked(self, problem, how):
        return replace(problem, ts=torch.unique(problem.ts)), how

    def answered(self, answer, problem, how):
        missing = len(problem.ts) - 1 - len(answer.states)
        last = np.repeat(answer.states[-1:], missing, 0)
        return replace(answer, states=np.concatenate([answer.states, last]))


class StraightBetweenOutputs(Altered):
    """Interpolates along the chord from the start to the end."""

    def asked(self, problem, how):
        return replace(problem, ts=problem.ts[[0, -1]]), how

    def answered(self, answer, problem, how):
        start, end = problem.y0.numpy(), answer.states[-1]
        shares = [float(t / problem.ts[-1]) for t in problem.ts[1:]]
        return replace(answer, states=np.stack([start + s * (end - start) for s in shares]))


class Float32Inside(Altered):
    def asked(self, problem, how):
        return problems.in_float32(problem), how


class Rounded(torch.nn.Module):
    def __init__(self, field):
        super().__init__()
        self.field = field

    def forward(self, t, y):
        return torch.func.functional_call(
            self.field,
            {n: p.float() for n, p in self.field.named_parameters()},
            (t.float(), y.float()),
        ).to(y.dtype)


class RoundsTheField(Altered):
    def asked(self, problem, how):
        return replace(problem, field=Rounded(problem.field)), how


class MovesTheStart(Altered):
    def answered(self, answer, problem, how):
        problem.y0.mul_(1 + 1e-15)
        return answer


class Restless(Altered):
    count = 0

    def answered(self, answer, problem, how):
        self.count += 1
        return replace(answer, states=answer.states + 1e-15 * self.count)


class PaysForEasySamples(Altered):
    """Meets the tolerance on the average of a batch only."""

    def asked(self, problem, how):
        return problem, how | {"tol": how["tol"] * len(problem.y0) ** 2}


class PaysForOutputs(Altered):
    def answered(self, answer, problem, how):
        return replace(answer, nfe_forward=answer.nfe_forward + len(problem.ts) - 2)


FAULTS = [
    (LowerOrder, "order of dopri5"),
    (DeafToTolerance, "order of dopri5"),
    (DeafToTolerance, "tolerance kept by dopri5"),
    (Looser, "tolerance kept by dopri5"),
    (SevenStages, "NFE of dopri5 is that of its tableau"),
    (Miscounting, "stated evaluations are the field's, adjoint"),
    (PaysForOutputs, "outputs cost no evaluations"),
    (AdjointThatKeepsAll, "memory of adjoint"),
    (GradientOffByAPercent, "gradient by adjoint"),
    (GradientOffByAPercent, "gradient by checkpointed converges"),
    (GradientOfTheFlow, "gradient by backprop is that of the computed steps"),
    (SwallowsNaN, "field that is NaN"),
    (SwallowsNaN, "field that becomes infinite half way"),
    (StraightBetweenOutputs, "order of dopri5 at outputs inside steps"),
    (StraightBetweenOutputs, "outputs inside steps keep the tolerance"),
    (SortsTimes, "times that repeat"),
    (SortsTimes, "times that are not in order"),
    (PaysForEasySamples, "a hard sample among 31 easy ones in a batch"),
    (Float32Inside, "float64 is kept"),
    (RoundsTheField, "the field sees float64 where the problem is"),
    (MovesTheStart, "what goes in stays as it is"),
    (Restless, "two runs give equal bits"),
]


@pytest.mark.parametrize(("faulty", "name"), FAULTS)
def test_a_fault_fails_its_check_and_ours_passes(faulty, name):
    found = check(name).judge(faulty())
    assert found.outcome == "fail", found.sentence
    assert found.value is not None
    found = check(name).judge(Ours())
    assert found.outcome == "pass", (found.value, found.sentence)


class Forward(Ours):
    """No gradients, one method, and a word for everything else."""

    gradients = ()

    def prepare(self, problem, *, method, tol, gradient):
        if method != "tsit5":
            raise ValueError(f"no method {method!r}")
        if not isinstance(problem.field, MLPField):
            raise ValueError("no such field")
        return super().prepare(problem, method=method, tol=tol, gradient=gradient)


@pytest.mark.parametrize(
    ("name", "outcome", "says"),
    [
        ("order of dopri5", "not offered", "no method 'dopri5'"),
        ("order of tsit5", "pass", "evaluations"),
        ("gradient by adjoint", "not offered", "offers the gradients: none"),
        ("memory of adjoint", "not offered", "offers the gradients: none"),
        ("blow-up in finite time", "cannot be asked", "no such field"),
        ("field that is NaN", "pass", "raises NonFinite"),
        ("backward in time", "pass", "tolerance"),
    ],
)
def test_what_is_not_there_is_no_failure(name, outcome, says):
    found = check(name).judge(Forward())
    assert found.outcome == outcome, found.sentence
    assert says in found.sentence


def third_party() -> Backend:
    """The backend that the page about the speed suite shows, which solves in float32 only."""
    text = (ROOT / "docs" / "speed.md").read_text()
    example = re.search(r"<!-- example backend -->\n```python\n(.*?)```", text, re.DOTALL)
    assert example is not None
    module = ModuleType("third_party")
    exec(compile(example[1], "speed.md", "exec"), vars(module))
    return module.Scipy()


def test_a_third_party_is_asked_in_the_precision_that_it_has():
    backend = third_party()
    found = {
        name: check(name).judge(backend).outcome
        for name in (
            "float32 works",
            "order of dopri5",
            "tolerance kept by dopri5",
            "NFE of dopri5 is that of its tableau",
            "memory of backprop",
        )
    }
    assert found == {
        "float32 works": "pass",
        "order of dopri5": "cannot be asked",
        "tolerance kept by dopri5": "pass",
        "NFE of dopri5 is that of its tableau": "pass",
        "memory of backprop": "not offered",
    }


# --- the problems' answers


def test_closed_form_and_scipy_agree():
    known = problems.mixed().at(0.5, 4.0)
    found = problems._by_scipy(known.problem, 4.0)
    np.testing.assert_allclose(known.states()[-1], found, atol=1e-10)


def test_the_gradient_is_that_of_a_tight_solve():
    known = problems.mixed().at(0.0, 2.0)
    y0 = known.problem.y0.clone().requires_grad_()
    inputs = [y0, *known.problem.field.parameters()]
    settings = {"rtol": 1e-11, "atol": 1e-11, "gradient": Backprop()}
    loss = loss_of(solve(known.problem.field, y0, known.problem.ts, **settings).ys)
    found = torch.cat([g.ravel() for g in torch.autograd.grad(loss, inputs)]).numpy()
    np.testing.assert_allclose(problems.gradient_of(known), found, rtol=1e-8, atol=1e-8)


def test_the_stiff_answer_is_that_of_an_implicit_method():
    from scipy.integrate import solve_ivp

    known = problems.stiff()
    for start, expected in zip(known.problem.y0.numpy(), known.states()[0], strict=True):
        field = lambda t, y: -1000 * np.tanh(y - [t, 0])  # noqa: E731
        found = solve_ivp(field, (0, 1), start, "Radau", rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(found.y[:, -1], expected, atol=1e-9)


# --- what is written, and the command


HOSTILE = """
import os, time
from odeclaims.backends.ours import Ours
from odeclaims.claim import Bounds
from odeclaims.conform import Check
from odeclaims.conform.check import Observed

class Hostile(Ours):
    name = "hostile"

def hangs(backend):
    time.sleep(600)

def dies(backend):
    os._exit(3)

def answers(backend):
    return Observed(1.0, f"{backend.name} <b>&")

def make(look, limit_s=60.0):
    return Check("g", look.__name__, "a number", Bounds(at_most=1), "why", look, limit_s)

CHECKS = [make(answers), make(hangs, 0.2), make(dies), make(answers)]
"""


def card() -> Scorecard:
    made = {
        "odeclaims": "1",
        "commit": "c0ffee",
        "clean_tree": True,
        "python": "3",
        "packages": {"torch": "2"},
        "system": "s",
        "cpu": "c",
    }
    good, bad = CHECKS[0], CHECKS[1]
    seen = [
        Finding(good, "pass", 5.0, "<b>&"),
        Finding(bad, "fail", float("inf"), "off"),
        Finding(good, "not offered", None, "no"),
    ]
    return Scorecard("toy", "A toy.", seen, made)


def test_what_is_written(tmp_path):
    paths = write(card(), tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in paths] == [
        f"conform/toy/scorecard.{suffix}" for suffix in ("csv", "md", "json", "html")
    ]
    with paths[0].open() as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == ["pass", "fail", "not offered"]
    assert [row["measured"] for row in rows] == ["5.00", "inf", ""]
    kept = json.loads(paths[2].read_text(), parse_constant=pytest.fail)
    assert kept["counts"] == {"pass": 1, "fail": 1, "not offered": 1}
    assert kept["provenance"]["commit"] == "c0ffee"
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write(card(), tmp_path)] == first


def test_the_page_is_whole_and_escapes_what_solvers_say():
    text = page(card())
    assert "&lt;b&gt;&amp;" in text
    assert "<b>" not in text
    assert not re.search(r"(src|href)=|url\(|@import|<script", text)
    assert text.count("<tr>") == 1 + 3
    assert text.count('scope="row"') == 3


COMMAND = """
import odeclaims.cli as cli
import odeclaims.conform as conform
from odeclaims.backends.ours import Ours
import hostile

if __name__ == "__main__":
    conform.find_backends = lambda: {"hostile": hostile.Hostile(), "missing": Ours()}
    conform.CHECKS = hostile.CHECKS
    cli.main()
"""


def command(folder: Path, name: str) -> tuple[int, str, str]:
    (folder / "hostile.py").write_text(HOSTILE)
    (folder / "main.py").write_text(COMMAND)
    paths = [str(folder), str(ROOT / "reference"), str(ROOT / "suites")]
    done = subprocess.run(
        [sys.executable, "main.py", "conform", name],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_hang_and_a_death_fail_their_own_checks_only(tmp_path):
    code, output, errors = command(tmp_path, "hostile")
    assert (code, errors) == (1, "")
    assert "2 pass, 2 fail, 0 not offered, 0 cannot be asked" in " ".join(output.split())
    kept = json.loads((tmp_path / "results/conform/hostile/scorecard.json").read_text())
    assert [(f["check"], f["outcome"], f["sentence"]) for f in kept["findings"]] == [
        ("answers", "pass", "hostile <b>&"),
        ("hangs", "fail", "no answer within 0.2 s"),
        ("dies", "fail", "the process died"),
        ("answers", "pass", "hostile <b>&"),
    ]


def test_an_unknown_backend_is_named(tmp_path):
    code, output, errors = command(tmp_path, "nobody")
    assert (code, output) == (2, "")
    assert errors == (
        "odeclaims: there is no backend 'nobody'; the backends are hostile, missing\n"
    )
    assert not (tmp_path / "results").exists()


class Missing(Ours):
    """A solver that is not installed."""

    name, requires = "missing", ("a-solver-that-is-nowhere",)


@pytest.mark.parametrize(
    ("names", "code", "says"),
    [
        (["ours"], 0, "2 pass, 0 fail, 0 not offered, 0 cannot be asked"),
        (["ours", "missing"], 2, "backend missing needs a-solver-that-is-nowhere"),
        ([], 0, "needs a-solver-that-is-nowhere"),
    ],
)
def test_the_other_ends_of_the_command(tmp_path, monkeypatch, capsys, names, code, says):
    from odeclaims import cli, conform

    known: dict[str, Backend] = {"ours": Ours(), "missing": Missing()}
    passed = replace(card(), findings=card().findings[:1] * 2)
    for module in (cli, conform):
        monkeypatch.setattr(module, "find_backends", lambda: known)
    monkeypatch.setattr(cli, "conform_backend", lambda backend: passed)
    monkeypatch.setattr(sys, "argv", ["odeclaims", "conform", *names, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert (end.value.code or 0) == code
    said = capsys.readouterr()
    assert says in " ".join((said.out + said.err).split())
    assert (tmp_path / "conform").exists() == (names == ["ours"])
