import re
from dataclasses import replace

import pytest

from analysis.report.evidence import gather
from analysis.report.summary import summarise
from analysis.table import RunTable
from archscale.spec import FitSettings
from tests.analysis import fake_runs
from tests.analysis.fake_runs import ATTACK, COMMIT, spec_of, write_run


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    return fake_runs.write_troubled_study(tmp_path_factory.mktemp("runs"))


def evidence_of(directories, *, missing=(), **settings):
    return gather(table=RunTable.from_directories(directories), missing=missing, settings=FitSettings(**settings))


def sentences_of(directories, **settings):
    return dict(summarise(evidence_of(directories, **settings)).headed())


def everything_said(directories) -> str:
    summary = summarise(evidence_of(directories))
    return "\n".join([summary.headline, *(sentence for _, part in summary.headed() for sentence in part)])


def test_the_answer_sets_what_was_measured_apart_from_what_is_not(directories):
    said = sentences_of(directories)
    measured, extrapolated = (" ".join(said[key]) for key in ("What these runs establish", "What is only extrapolated"))
    assert "The measured loss of SambaY is lower than that of Transformer++ at all 4 common scales" in measured
    assert "They spent the same training compute there." in measured
    assert re.search(
        r"The loss falls with every step .* SambaY \(2\.\d+ to 1\.\d+ in 3 steps\) and Transformer", measured
    )
    assert "irreducible" not in measured
    assert extrapolated.count("The irreducible loss of") == 2
    assert any("irreducible losses C" in line for line in said["What they cannot tell"])
    assert any("every cell has one run" in line for line in said["What they cannot tell"])
    assert "8 fitted runs share code commit" in said["Drift between runs"][0]


def test_a_lower_loss_that_cost_more_compute_is_not_called_equal(tmp_path):
    runs = [write_run(tmp_path, spec_of("transformer_pp", depth), loss=2.0 - depth / 50) for depth in (8, 12)]
    runs += [
        write_run(tmp_path, spec_of("sambay", depth), loss=1.9 - depth / 50, compute_factor=factor)
        for depth, factor in ((8, 1.25), (12, 1.5))
    ]
    said = everything_said(runs)
    assert "SambaY has the lowest measured loss at each of the 2 common scales, though training compute there" in said
    assert "there differs by a factor of up to 1.50." in said
    assert "There SambaY spent 1.25 to 1.5 times the training compute of Transformer++." in said
    assert "the same training compute" not in said


def test_runs_are_paired_by_scale_where_all_have_one_depth(tmp_path):
    def at_width(name, width):
        spec = spec_of(name, 8)
        return replace(spec, scale=replace(spec.scale, width=width))

    runs = [
        write_run(tmp_path, at_width(name, width), loss=base - width / 50, compute_factor=(width / 32) ** 4 * more)
        for name, base, more in (("sambay", 2.0, 1.1), ("transformer_pp", 2.1, 1.0))
        for width in (32, 48, 64)
    ]
    # A fourth scale of one architecture stands beside none of the other's.
    runs.append(write_run(tmp_path, at_width("sambay", 128), loss=0.5, compute_factor=4.0**4))
    said = everything_said(runs)
    assert (
        "SambaY has the lowest measured loss at each of the 3 common scales, though training compute there differs"
        in said
    )
    assert "lower than that of Transformer++ at all 3 common scales: by 0.1000 at" in said
    assert "There SambaY spent 1.1 times the training compute of Transformer++." in said


def test_a_clear_difference_of_the_limits_is_still_called_extrapolated(tmp_path):
    runs = [
        write_run(tmp_path, spec, loss=60 * fake_runs.compute_of(spec) ** -0.16 + limit + 1e-5 * (depth % 3))
        for name, limit in (("sambay", 1.2), ("transformer_pp", 1.4))
        for depth in (8, 12, 16, 20, 24, 28)
        for spec in [spec_of(name, depth)]
    ]
    said = sentences_of(runs)
    assert not any("irreducible losses" in line for line in said["What these runs establish"])
    assert any("irreducible losses" in line and "differ" in line for line in said["What is only extrapolated"])
    assert any(
        "inside the 95 % prediction interval, for SambaY (" in line for line in said["What these runs establish"]
    )


def test_a_diverged_a_failed_and_a_missing_run_are_named(directories):
    evidence = evidence_of(directories, missing=["never-started"])
    lines = summarise(evidence).missing
    assert any("1 run diverged" in line and "left out of every fit" in line and "d24" in line for line in lines)
    assert any(line.startswith("1 run failed") and ATTACK in line for line in lines)
    assert any("never started: never-started" in line for line in lines)
    assert all(fit.n == 4 for fit in evidence.fits.values())


def test_a_loss_that_rises_with_scale_is_said(tmp_path):
    losses = {8: 2.4, 12: 2.0, 16: 2.1, 20: 1.9}
    runs = [write_run(tmp_path, spec_of("sambay", depth), loss=loss) for depth, loss in losses.items()]
    (line,) = [line for line in sentences_of(runs)["What these runs establish"] if "NOT fall" in line]
    assert "(+0.1000)" in line


def test_runs_that_learned_no_more_than_frequencies_are_said(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", 8), loss=2.96), write_run(tmp_path, spec_of("sambay", 12), loss=2.9)]
    assert "1 of 2 runs are not below the unigram entropy" in everything_said(runs)


def test_two_commits_and_local_changes_are_drift(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", depth)) for depth in (8, 12)]
    runs.append(write_run(tmp_path, spec_of("sambay", 16), commit="0" * 40))
    provenance = runs[0].attempt_path(1) / "provenance.json"
    provenance.write_text(provenance.read_text().replace('"git_dirty": false', '"git_dirty": true'))
    drift = " ".join(sentences_of(runs)["Drift between runs"])
    assert f"differ in their code commits: {'0' * 12} (1), {COMMIT[:12]} (2)" in drift
    assert "1 run of the fit used code that differed from its commit" in drift


def test_a_group_with_too_few_points_does_not_stop_the_others(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", depth)) for depth in fake_runs.DEPTHS]
    runs.append(write_run(tmp_path, spec_of("transformer_pp", 8)))
    evidence = evidence_of(runs)
    assert set(evidence.fits) == {"SambaY"}
    assert any("needs two fitted architectures" in line for line in summarise(evidence).cannot_tell)
    assert any(line.startswith("Transformer++ has no fit: 1 scale finished") for line in summarise(evidence).missing)


def test_groups_without_a_fit_for_one_reason_share_a_sentence(tmp_path):
    runs = [write_run(tmp_path, spec_of(name, 8)) for name in ("sambay", "transformer_pp")]
    lines = [line for line in summarise(evidence_of(runs)).missing if "has a fit" in line]
    assert len(lines) == 1
    assert lines[0].startswith("No architecture has a fit, each for this reason: 1 scale finished")


def test_one_architecture_is_compared_with_nothing(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", depth)) for depth in fake_runs.DEPTHS]
    evidence = evidence_of(runs)
    assert evidence.comparisons == ()
    assert "nothing to compare it with" in summarise(evidence).headline
    assert "Transformer" not in everything_said(runs)


def test_of_many_architectures_each_is_set_against_the_best(tmp_path):
    names = ["a", "b", "c", "d", "e"]
    runs = [
        write_run(tmp_path, spec, loss=fake_runs.loss_of(spec) + 0.01 * k)
        for k, name in enumerate(names)
        for depth in fake_runs.DEPTHS
        for spec in [spec_of(name, depth)]
    ]
    evidence = evidence_of(runs)
    summary = summarise(evidence)
    assert len({item.groups for item in evidence.comparisons}) == 10
    (told,) = [line for line in summary.establishes if line.startswith("The measured loss of")]
    assert "of a is lower at every common scale than that of b (0.0100 to 0.0100), c (" in told
    told_apart = [line for line in summary.establishes if line.startswith("The fitted loss of a is distinguishably")]
    assert told_apart
    for label in "bcde":
        assert any(re.search(rf"\b{label}\b", line) for line in [*told_apart, *summary.cannot_tell])
    assert any("more comparisons are in the table" in line for line in summary.cannot_tell)
