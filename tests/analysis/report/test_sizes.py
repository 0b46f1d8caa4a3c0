from dataclasses import replace

import pandas as pd
import pytest

from analysis.report.evidence import gather
from analysis.report.law_report import law_reading
from analysis.report.sizes import compared_sizes, largest, size_gaps
from analysis.report.summary import summarise
from analysis.report.write import json_document
from analysis.table import RunTable
from archscale.spec import FitSettings
from tests.analysis import fake_runs
from tests.analysis.fake_runs import spec_of, strict_json, write_run


def models(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["label", "setting", "depth", "non_embedding_parameters"])


def pairs(*rows: tuple) -> list[tuple[float, float]]:
    return [gap.non_embedding_parameters for gap in size_gaps(models(*rows))]


def study_of(folder, widths, **settings):
    """Both architectures at every depth of `widths`, which names the width of one of them."""
    runs = []
    for depth, width in widths.items():
        runs.append(write_run(folder, spec_of("transformer_pp", depth)))
        spec = spec_of("sambay", depth)
        runs.append(write_run(folder, replace(spec, scale=replace(spec.scale, width=width))))
    return gather(table=RunTable.from_directories(runs), missing=[], settings=FitSettings(**settings))


def test_sizes_meet_at_the_depth_that_both_have():
    (gap,) = size_gaps(models(("a", None, 8, 100.0), ("b", None, 8, 130.0), ("b", None, 12, 101.0)))
    assert (gap.groups, gap.depths, gap.non_embedding_parameters) == (("b", "a"), (8, 8), (130.0, 100.0))
    assert gap.excess == pytest.approx(0.3)
    assert gap.sentence == "b has 30.0 % more non-embedding parameters than a at depth 8 (130 against 100)"


def test_of_several_sizes_at_one_depth_the_nearest_meet_and_a_missing_run_leaves_a_hole():
    a = [("a", None, 8, size) for size in (25.0, 46.0, 86.0, 160.0)]
    b = [("b", None, 8, size) for size in (26.0, 87.0, 161.0)]
    assert pairs(*a, *b) == [(26.0, 25.0), (87.0, 86.0), (161.0, 160.0)]


def test_cells_that_differ_in_the_architecture_alone_meet_however_far_apart_they_are():
    a = [("a", f"heads={k}", 8, 31.0 + 2 * k) for k in range(3)]
    b = [("b", f"heads={k}", 8, 36.0 + k) for k in range(3)]
    assert pairs(*a, *b) == [(36.0, 31.0), (37.0, 33.0), (38.0, 35.0)]


def test_architectures_without_a_common_depth_meet_by_size_and_the_sentence_says_so():
    (gap,) = size_gaps(models(("a", None, 8, 100.0), ("b", None, 12, 104.0), ("b", None, 16, 300.0)))
    assert gap.sentence == ("b at depth 12 has 4.0 % more non-embedding parameters than a at depth 8 (104 against 100)")


def test_seeds_count_once_and_unknown_sizes_not_at_all():
    rows = [(label, f"seed={seed}", 8, size) for label, size in (("a", 100.0), ("b", 103.0)) for seed in (0, 1)]
    assert pairs(*rows, ("c", "seed=0", 8, float("nan"))) == [(103.0, 100.0)]
    assert size_gaps(models(rows[0])) == []
    assert largest([]) is None


def test_the_report_names_the_largest_difference_above_one_percent(tmp_path):
    evidence = study_of(tmp_path, {8: 33, 12: 48, 16: 66, 20: 80})
    (line,) = [line for line in summarise(evidence).cannot_tell if "non-embedding parameters" in line]
    assert "SambaY has 6.3 % more non-embedding parameters than Transformer++ at depth 8 (105K against 98.3K)" in line
    assert "the largest of 2 differences above 1 %" in line
    assert "archscale plan STUDY --match-parameters ARCH" in line
    found = strict_json(json_document({}, law_reading(evidence)))["size_differences"]
    assert [item["depths"] for item in found] == [[8, 8], [12, 12], [16, 16], [20, 20]]
    assert [round(100 * item["excess"], 1) for item in found] == [6.3, 0.0, 6.3, 0.0]


def test_equal_sizes_are_passed_over_in_silence(tmp_path):
    evidence = study_of(tmp_path, {depth: 4 * depth for depth in fake_runs.DEPTHS})
    assert largest(compared_sizes(evidence)).excess == 0
    assert not any("non-embedding" in line for line in summarise(evidence).cannot_tell)


def test_groups_that_are_no_architectures_may_differ_in_size(tmp_path):
    evidence = study_of(tmp_path, {8: 40, 12: 60}, group="width")
    assert compared_sizes(evidence) == []
