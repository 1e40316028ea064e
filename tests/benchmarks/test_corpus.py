"""The comparison with optimizer packages: rows, verdicts and tables; classes where they are installed."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.corpus import optax_rules, third_party, torch_optim
from benchmarks.corpus.__main__ import ROWS, chosen, versions
from benchmarks.corpus.comparison import largest_difference, order
from benchmarks.corpus.finding import AGREE, Finding, derived, found, verdict
from benchmarks.corpus.rows import RULES, Row, with_numbers
from benchmarks.corpus.running import class_iterates
from benchmarks.corpus.scope import OUT_OF_SCOPE
from benchmarks.corpus.tables import comparison_table, page, summary, totals, verdicts
from optode.trial.starts import NoSolution
from optode.trial.trial import Trial

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "optimizers.md"
ROW = Row("torch.optim", "SGD", "gradient_descent", {"lr": "s"})
GOOD = Finding(
    "torch.optim",
    "SGD",
    "gradient_descent",
    0.1,
    "",
    1e-16,
    1.0,
    1.03,
    "",
    (0.1, 0.05, 0.02),
    (3e-3,) * 3,
)
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("pytorch_optimizer") is None,
    reason="the extra `corpus` is not installed",
)


def test_a_text_that_names_a_hyper_parameter_is_its_number() -> None:
    options = {"lr": "lr", "betas": ("beta1", 0.5), "mode": "fixed", "inner": {"eps": "eps"}}
    values = {"lr": 0.1, "beta1": 0.9, "eps": 1e-8}
    expected = {"lr": 0.1, "betas": (0.9, 0.5), "mode": "fixed", "inner": {"eps": 1e-8}}
    assert with_numbers(options, values) == expected


def test_every_rule_has_a_row_and_every_row_a_rule() -> None:
    assert {path.stem for path in RULES.glob("*.yaml")} <= {row.spec for row in ROWS}
    for row in ROWS:
        assert row.path.exists()
        assert row.optimizer not in OUT_OF_SCOPE[row.package]


def test_the_class_takes_its_first_steps_alone() -> None:
    """Gradient descent from its second step on is that from the second place."""
    every = class_iterates(ROW, {"s": 0.1}, 3)
    skipped = class_iterates(replace(ROW, skipped=1), {"s": 0.1}, 2)
    assert (every[1:] == skipped).all()


def test_the_class_has_the_shape_of_its_row() -> None:
    flat = class_iterates(ROW, {"s": 0.1}, 2)
    assert (class_iterates(replace(ROW, shape=(1, 2)), {"s": 0.1}, 2) == flat).all()


@pytest.mark.parametrize(
    ("row", "finding", "expected"),
    [
        (ROW, GOOD, "right"),
        (ROW, replace(GOOD, measured=0.8), "not proven"),
        (ROW, replace(GOOD, steps=(0.1, 0.05)), "not proven"),
        (ROW, replace(GOOD, measured=None, unmeasured="rough"), "not proven"),
        (ROW, replace(GOOD, measured=None, unmeasured=AGREE), "right"),
        (ROW, replace(GOOD, apart=1e-9), "another rule"),
        (ROW, replace(GOOD, apart=float("nan")), "another rule"),
        (replace(ROW, tolerance=1e-7), replace(GOOD, apart=1e-9), "right"),
        (ROW, replace(GOOD, apart=None), "right"),
        (ROW, replace(GOOD, apart=None, unchecked="no numbers"), "not proven"),
        (ROW, replace(GOOD, refusal="E403: no"), "refused, has a limit"),
        (replace(ROW, refused="E403"), replace(GOOD, refusal="E403: no"), "refused"),
        (replace(ROW, refused="E401"), replace(GOOD, refusal="E403: no"), "refused, has a limit"),
        (replace(ROW, refused="E401"), GOOD, "derived, has no limit"),
    ],
)
def test_a_verdict(row: Row, finding: Finding, expected: str) -> None:
    assert verdict(row, finding) == expected


def test_a_row_is_derived_compared_and_measured() -> None:
    finding = found(ROW, with_class=True)
    assert verdict(ROW, finding) == "right"
    assert finding.is_same_rule(ROW) and finding.has_its_order
    alone = found(ROW, with_class=False)
    assert (alone.apart, alone.measured) == (None, None)


def test_an_order_without_a_solution_from_the_start_is_measured_from_a_quarter_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(trial: Trial, time: float) -> None:
        raise NoSolution

    whole = order(ROW)
    monkeypatch.setattr(Trial, "limit_at", none)
    late = order(ROW)
    assert late.passes and late.remark == "from t = 0.25 on"
    assert max(late.errors) < max(whole.errors)


def test_a_refusal_has_its_code() -> None:
    finding = derived(Row("optax", "contrib.cocob", "cocob", {}))
    assert float(str(finding["seconds"])) > 0
    assert str(finding["refusal"]).startswith("E401: no continuous limit: the increment of `x`")


def test_the_tables_have_every_row() -> None:
    other = replace(ROW, optimizer="Other", refused="E403")
    refused = replace(GOOD, optimizer="Other", refusal="E403: no", measured=None, seconds=6.0)
    pairs = [(ROW, GOOD), (other, refused)]
    assert "| torch.optim | SGD | `gradient_descent` | 1e-16 | 1 | 1.03 |" in comparison_table(
        pairs
    )
    assert "2 of 2 classes have the iterates of the rule to 1e-12, 1 approach" in totals(pairs)
    text = page(pairs, OUT_OF_SCOPE, "versions")
    assert "| all | 2 | 1 | 1 | 2 |" in text
    assert "Longer than 5 s: `gradient_descent` 6.0 s." in text
    assert "| Other | `gradient_descent` | refused: E403: no | 1e-16 |  |  | 6.0 |" in text
    assert "- LBFGS: " in text


def test_the_verdict_on_an_optimizer_is_the_worst_of_its_rules() -> None:
    bad = replace(GOOD, measured=0.5)
    assert verdicts([(ROW, GOOD), (ROW, bad), (ROW, GOOD)]) == {
        ("torch.optim", "SGD"): "not proven"
    }
    text = summary([(ROW, GOOD), (ROW, bad)], OUT_OF_SCOPE)
    assert "| torch.optim | 1 | 0 | 0 | 1 | 2 |" in text


def test_the_page_has_the_rows() -> None:
    """Where this fails, make the page again: its first lines have the command."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip(" `") for cell in line.split(" | ")] for line in lines]
    shown = {(row[0].lstrip("| "), row[1]) for row in cells if len(row) == 7}
    assert {(row.optimizer, row.spec) for row in ROWS} <= shown


def test_rows_are_chosen_by_name() -> None:
    assert [ROWS[i].spec for i in chosen(["AvaGrad"])] == ["avagrad_corrected"]
    assert len(chosen(None)) == len(torch_optim.ROWS + third_party.ROWS + optax_rules.ROWS)
    assert f"torch {torch.__version__.partition('+')[0]}" in versions()


@needs_package
def test_every_class_of_the_package_has_a_row_or_a_reason() -> None:
    import pytorch_optimizer

    classes = {
        name
        for name, kind in vars(pytorch_optimizer).items()
        if isinstance(kind, type)
        and issubclass(kind, torch.optim.Optimizer)
        and kind.__module__.startswith("pytorch_optimizer.")
    }
    rows = {row.optimizer for row in third_party.ROWS}
    assert rows | OUT_OF_SCOPE["pytorch_optimizer"].keys() == classes


@needs_package
@pytest.mark.parametrize("name", ["ADOPT adopt", "AdamP", "Lookahead", "SAM", "Prodigy"])
def test_a_class_of_the_package_has_the_iterates_of_its_rule(name: str) -> None:
    row = next(row for row in third_party.ROWS if row.title.startswith(name))
    assert largest_difference(row) <= row.tolerance
