"""Published predictions from ladders of small models: open_lm (Gadre et al. 2024) and OLMo (Bhagia et al. 2024)."""

import numpy as np
import pytest

from analysis.fit import fit
from tests.analysis.published_data import published

SMALL = ["d=96_l=8_h=4", "d=512_l=8_h=4", "d=576_l=24_h=8", "d=1024_l=24_h=8"]
TASKS = ["hellaswag_val", "arc_challenge_test", "arc_easy_test", "piqa_val", "csqa_val", "socialiqa_val",
         "openbookqa_test"]  # fmt: skip


@pytest.fixture(scope="module")
def open_lm():
    runs = published("openlm_gadre2024", "runs_104.csv").assign(M=lambda t: 20 * t.cc)

    def made(mixture):
        mine = runs[runs.ds == mixture]
        small = (mine.model.isin(SMALL) & (mine.cc == 1)) | ((mine.model == SMALL[0]) & (mine.cc == 16))
        assert small.sum() == 5
        return fit("open_lm", mine.loc[small, ["N", "M"]], mine[small].loss_c4_val), mine

    return made


@pytest.mark.parametrize(
    ("mixture", "b", "E"),
    [("rpj", -0.272851, 1.836648), ("c4_original", -0.242472, 1.508261), ("rw_original", -0.254395, 1.734462)],
)
def test_the_laws_of_open_lm(open_lm, mixture, b, E):
    found, _ = open_lm(mixture)
    assert found.parameters["b"] == pytest.approx(b, abs=6e-7)
    assert found.parameters["E"] == pytest.approx(E, abs=6e-7)


def test_the_amplitudes_of_open_lm(open_lm):
    found, _ = open_lm("rpj")
    assert found.parameters["A"] == pytest.approx(166.21, abs=5e-3)
    assert found.parameters["B"] == pytest.approx(366.69, abs=5e-3)
    assert found.sum_of_squares == pytest.approx(4.2565e-4, rel=1e-5)


@pytest.mark.parametrize(
    ("mixture", "model", "M", "percent", "digits"),
    [
        ("rpj", "open_lm_1b", 640, 0.7103, 4),
        ("rpj", "open_lm_7b", 20, 0.7320, 4),
        ("c4_original", "open_lm_7b", 20, 4.295, 3),
        ("rw_original", "open_lm_7b", 20, 1.619, 3),
    ],
)
def test_the_published_errors_of_open_lm_are_exact(open_lm, mixture, model, M, percent, digits):
    found, runs = open_lm(mixture)
    goal = runs[(runs.model == model) & (runs.M == M)].iloc[0]
    error = found.predict([[goal.N, goal.M]])[0] / goal.loss_c4_val - 1
    assert round(100 * abs(error), digits) == percent


def test_five_points_do_not_identify_the_four_parameters_of_open_lm(open_lm):
    found, _ = open_lm("rpj")
    assert "identified" not in found.verdicts.values()


@pytest.fixture(scope="module")
def ladder():
    rows = published("olmo_ladder2024", "ladder_step1.csv")
    return rows[rows["mode"] == "train"], rows[rows.name == "13B-5T"]


@pytest.mark.parametrize("task", ["c4", *TASKS])
def test_the_ladder_of_olmo_predicts_what_was_published(ladder, task):
    seen, goal = ladder
    column = "c4_en-validation_mean_last5" if task == "c4" else f"{task}_rc_5shot_bpb_mean_last5"
    file = "published_step1_c4_main.csv" if task == "c4" else "published_step1_main.csv"
    rows = published("olmo_ladder2024", file).set_index("Task")
    expected = rows.iloc[0] if task == "c4" else rows.loc[f"{task}_5shot"]
    found = fit("chinchilla", seen[["N", "D"]], seen[column], loss="huber-log:1e-3", interval="wald")
    assert found.predict(goal[["N", "D"]])[0] == pytest.approx(expected.Pred, abs=1e-5)
    assert np.abs(found.predict(found.x) / found.y - 1).mean() == pytest.approx(expected["Fit Error"], abs=1e-6)
    assert (found.verdicts["E"] == "on bound") == (task == "csqa_val")


def test_the_irreducible_loss_of_the_ladder_is_hardly_known(ladder):
    """E = .934 of C4 with an interval from 0."""
    seen, _ = ladder
    found = fit("chinchilla", seen[["N", "D"]], seen["c4_en-validation_mean_last5"], loss="huber-log:1e-3")
    assert found.parameters["E"] == pytest.approx(0.934, abs=5e-4)
    assert found.intervals["E"].low == 0
    assert found.verdicts["E"] in ("weak", "not identified")
