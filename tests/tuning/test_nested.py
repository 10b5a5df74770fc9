import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from stenoscope.tuning.nested import FoldOutcome, nested_table, summarise_nested
from tests.evaluation.helpers import make_predictions


def outcome(fold, inner, default_inner, separation, seed=0, importance=None, tested=1):
    chosen, default = (
        make_predictions(30, seed=100 * fold + seed, separation=by) for by in (separation, 0.8)
    )
    clips = {"clip_id": f"f{fold}_" + default["clip_id"], "patient_id": f"f{fold}_" + default["patient_id"]}
    same = chosen["clip_id"].equals(default["clip_id"])
    assert same
    return FoldOutcome(
        fold=fold,
        states={"complete": 3, "pruned": 1},
        chosen={"epochs": 5 * fold},
        inner=inner,
        default_inner=default_inner,
        predictions=chosen.assign(fold=fold, **clips),
        default_predictions=default.assign(fold=fold, **clips),
        importance=importance,
        tested=tested,
    )


@pytest.fixture(scope="module")
def summary():
    outcomes = [outcome(1, 0.9, 0.8, 3.0, importance={"epochs": 1.0}), outcome(2, 0.94, None, 2.0)]
    return outcomes, summarise_nested(outcomes, inner_folds=3, default={"epochs": 10})


def auc(*tables):
    clips = pd.concat(tables).groupby("clip_id")[["label", "probability"]].mean()
    return roc_auc_score(clips["label"], clips["probability"])


def test_outer_scores_are_those_of_the_test_predictions(summary):
    outcomes, found = summary
    for one, row in zip(outcomes, found["folds"], strict=True):
        assert row["outer"]["value"] == pytest.approx(auc(one.predictions))
        assert row["default_outer"]["value"] == pytest.approx(auc(one.default_predictions))
        low, high = row["outer"]["ci95"]
        assert low <= row["outer"]["value"] <= high
        gap = row["difference"]
        assert gap["difference"] == pytest.approx(row["outer"]["value"] - row["default_outer"]["value"])
        assert row["optimism"] == pytest.approx(one.inner - row["outer"]["value"])
    pooled = found["pooled"]
    assert pooled["outer"]["value"] == pytest.approx(auc(*(one.predictions for one in outcomes)))
    assert pooled["outer"]["patients"] == 60 and pooled["inner"] == pytest.approx(0.92)
    assert pooled["default_inner"] is None, "one fold has none"


def test_the_same_settings_differ_by_nothing():
    one = outcome(1, 0.9, 0.9, 0.8)
    found = summarise_nested([one], 3, {"epochs": 10})
    assert found["pooled"]["difference"]["difference"] == 0
    assert found["pooled"]["difference"]["ci95"] == [0, 0]


def test_the_best_fold_is_that_of_the_highest_inner_score(summary):
    assert summary[1]["best_fold"] == 2
    tie = [outcome(1, 0.9, 0.8, 2.0), outcome(2, 0.9, 0.8, 2.0)]
    assert summarise_nested(tie, 3, {"epochs": 10})["best_fold"] == 1


def test_importance_is_the_mean_of_the_folds_that_have_one(summary):
    assert summary[1]["importance"]["values"] == {"epochs": 1.0}
    two = [
        outcome(1, 0.9, 0.8, 2.0, importance={"epochs": 0.75, "warmup": 0.25}),
        outcome(2, 0.9, 0.8, 2.0, importance={"epochs": 0.25, "warmup": 0.75}),
    ]
    values = summarise_nested(two, 3, {"epochs": 10, "warmup": 0.0})["importance"]["values"]
    assert values == {"epochs": 0.5, "warmup": 0.5}
    none = summarise_nested([outcome(1, 0.9, 0.8, 2.0)], 3, {"epochs": 10})
    assert none["importance"]["values"] is None


def test_the_table_has_a_row_for_each_fold_and_one_pooled(summary):
    table = nested_table(summary[1])
    assert table["fold"].tolist() == ["1", "2", "pooled"]
    assert table["inner"].tolist() == pytest.approx([0.9, 0.94, 0.92])
    assert (table["outer_low"] <= table["outer"]).all() and (table["outer"] <= table["outer_high"]).all()
    np.testing.assert_allclose(table["difference"], table["outer"] - table["default_outer"])
