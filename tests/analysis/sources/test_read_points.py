import numpy as np
import pandas as pd
import pytest
import yaml

from analysis.fit import fit
from analysis.report.published import description
from analysis.rule_choices import Rules
from analysis.rules import apply_rules
from analysis.sources import PUBLISHED_DATA, read_points
from archscale.registry import UserError
from tests.analysis.fake_runs import spec_of, write_run, write_troubled_study
from tests.analysis.published_data import published, published_folder

FRAME = pd.DataFrame(
    {"series": ["a", "a", "b"], "FLOP": [6e18, 1.2e19, 6e18], "N": [1e8, 1e8, 2e8], "loss": [3, 2, 1.0]}
)


@pytest.fixture
def described(tmp_path):
    """Writes points and a description of them beside each other."""
    FRAME.to_csv(tmp_path / "points.csv", index=False)

    def write(**values: object) -> str:
        path = tmp_path / "table.yaml"
        path.write_text(yaml.safe_dump({"points": "points.csv"} | values, allow_unicode=True))
        return str(path)

    return write


def test_a_description_declares_filters_derives_and_chooses(described):
    table = read_points(
        described(
            title="T",
            question="Q?",
            columns={"D": {"meaning": "Training tokens", "unit": "1e9 tokens"}},
            flops_accounting="6nd_total",
            derive={"D": "FLOP / (6 * N) / 1e9", "M": "D / N"},
            where={"series": "a"},
            fit={"law": "chinchilla", "x": ["N", "D"], "y": "loss"},
            rules={"drop_highest": 1, "seeds": {"column": "seed"}},
            titles={"a": "Model A"},
        )
    )
    assert (table.title, table.question, table.flops_accounting) == ("T", "Q?", "6nd_total")
    assert table.frame["D"].to_list() == [10.0, 20.0]
    assert table.label("D") == "Training tokens (10⁹ tokens)"
    assert table.label("M") == "M = D / N"
    assert table.label("loss") == "loss"
    assert table.fit.x_names == ("N", "D")
    assert (table.rules.drop_highest, table.rules.active) == (1, ("drop_highest", "seeds"))
    assert table.titles == {"a": "Model A"}


def test_a_unit_with_a_factor_is_shown_and_never_applied(described):
    with_unit = read_points(described(columns={"FLOP": {"meaning": "Compute", "unit": "1e18 FLOPs"}}))
    pd.testing.assert_frame_equal(with_unit.frame, read_points(described()).frame)
    assert with_unit.label("FLOP") == "Compute (10¹⁸ FLOPs)"


def test_conditions_given_to_the_reader_come_after_those_of_the_description(described):
    path = described(where={"series": "a"}, derive={"D": "FLOP / N"})
    table = read_points(path, where=["D>=1e11"], derive=["E=D * 2"])
    assert table.frame["E"].to_list() == [2.4e11]
    assert table.frame.index.to_list() == [1]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"titel": "T"}, "unknown key 'titel'. Did you mean 'title'?"),
        ({"fit": {"low": "power"}}, "fit.low"),
        ({"rules": {"drop_highest": -1}}, "drop_highest = -1"),
        ({"rules": {"drop_highest": 1.5}}, "rules.drop_highest"),
        ({"rules": {"seeds": {"column": "s", "take": "first"}}}, "rules.seeds.take"),
        ({"columns": {"loss": {"unit": "nats"}}}, "columns.loss.meaning is missing"),
        ({"columns": {"los": {"meaning": "Loss"}}}, "unknown column 'los'. Did you mean 'loss'?"),
        ({"points": "other.csv"}, PUBLISHED_DATA),
        ({"derive": {"D": "import os"}}, "derive D"),
    ],
)
def test_a_description_that_says_something_else_is_one_line(described, monkeypatch, values, words):
    monkeypatch.delenv(PUBLISHED_DATA, raising=False)
    with pytest.raises(UserError) as error:
        read_points(described(**values))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_describe_nothing_are_one_line(tmp_path):
    for name, text, words in (("a", "- x\n", "describes no table"), ("b", "{", "is no YAML")):
        (tmp_path / f"{name}.yaml").write_text(text)
        with pytest.raises(UserError, match=words):
            read_points(str(tmp_path / f"{name}.yaml"))
    with pytest.raises(UserError, match="no such file"):
        read_points(str(tmp_path / "absent.yaml"))


def test_points_are_looked_for_beside_the_description_then_among_the_published(described, tmp_path, monkeypatch):
    elsewhere = tmp_path / "published"
    elsewhere.mkdir()
    FRAME.assign(loss=9.0).to_csv(elsewhere / "other.csv", index=False)
    monkeypatch.setenv(PUBLISHED_DATA, str(elsewhere))
    assert read_points(described(points="other.csv")).frame["loss"].eq(9).all()
    assert read_points(described()).frame["loss"].to_list() == [3, 2, 1]
    monkeypatch.delenv(PUBLISHED_DATA)
    assert read_points(described(points="other.csv"), data=elsewhere).frame["loss"].eq(9).all()


def test_runs_in_a_folder_are_points_where_they_finished_and_named_where_they_did_not(tmp_path):
    directories = write_troubled_study(tmp_path)
    table = read_points(str(tmp_path))
    assert len(table.frame) == len(directories) == 11
    assert len(table.points) == 8
    assert sorted(table.left_out.values()) == ["diverged", "failed", "pending"]
    assert table.label("compute") == "Training compute (FLOPs)"


def test_compute_counted_in_two_ways_or_two_corpora_are_no_one_fit(tmp_path):
    for depth, accounting, corpus in ((8, "6nd_total", "a"), (12, "modules", "a"), (16, "modules", "b")):
        write_run(tmp_path, spec_of("sambay", depth, corpus=corpus), accounting=accounting)
    with pytest.raises(UserError, match=r"flops_accounting = 6nd_total \(1 rows\), modules \(2 rows\)"):
        read_points(str(tmp_path)).require_one_scale(["compute"])
    modules = read_points(str(tmp_path), where=["flops_accounting=modules"])
    with pytest.raises(UserError, match=r"corpus_hash = a \(1 rows\), b \(1 rows\)"):
        modules.require_one_scale(["compute"])
    one_corpus = read_points(str(tmp_path), where=["corpus_hash=a"])
    one_corpus.require_one_scale(["tokens"])
    with pytest.raises(UserError, match="flops_accounting"):
        one_corpus.require_one_scale(["depth", "compute"])


def test_besiroglus_table_has_the_240_points_of_his_fit(tmp_path):
    """D = FLOP / (6 N), without the 5 highest losses; from the names of the columns as published."""
    frame = published("besiroglu2024", "svg_extracted_data.csv")
    frame.to_csv(tmp_path / "svg.csv", index=False)
    table = read_points(str(tmp_path / "svg.csv"), derive=["N=`Model Size`", "D=`Training FLOP` / (6 * N)"])
    ruled = apply_rules(Rules(drop_highest=5), table.points, x=("N", "D"), y="loss")
    losses = np.sort(frame["loss"])
    assert len(ruled.points) == 240
    assert ruled.points["loss"].max() < losses[-5]
    np.testing.assert_allclose(6 * ruled.points["N"] * ruled.points["D"], ruled.points["Training FLOP"], rtol=1e-12)


def test_a_packaged_description_reads_its_published_points():
    """The published A, b, C of SambaY over data, in billions of tokens: 1.28, 0.37, 1.82 (arXiv 2507.06607)."""
    published("archscale_sambay", "points.csv")
    table = read_points(str(description("sambay_data")), where=["series=tie/muP++"], data=published_folder())
    assert table.label("x") == "Training tokens (10⁹ tokens)"
    found = fit(table.fit.law, table.frame[table.fit.x], table.frame[table.fit.y]).parameters
    assert [round(value, 2) for value in found.values()] == [1.28, 0.37, 1.82]
