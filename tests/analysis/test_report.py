import base64
import hashlib
import json
import math
import re
from pathlib import Path

import pytest

from analysis.evidence import FitSettings, gather
from analysis.fit import fit_groups
from analysis.page import html_document
from analysis.report import json_document, markdown_document, write_report
from analysis.summary import summarise
from analysis.table import RunTable
from archscale.registry import UserError
from archscale.spec import to_json
from tests.analysis import fake_runs
from tests.analysis.fake_runs import ATTACK, COMMIT, spec_of, strict_json, write_run
from tests.analysis.page_reader import Page

HEADER = {"name": "flops", "title": f"Title {ATTACK}", "question": f'Is "A" < B & C? {ATTACK}'}


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    return fake_runs.write_troubled_study(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def out(directories, tmp_path_factory):
    return write_study_report(directories, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def page(out):
    return Page((out / "report.html").read_text())


def write_study_report(directories, out: Path) -> Path:
    table = RunTable.from_directories(directories)
    path = write_report(**HEADER, table=table, missing=["never-started"], fit_settings=FitSettings(), out=out)
    assert path == out / "report.html"
    return out


def evidence_of(directories, *, missing=(), **settings):
    return gather(table=RunTable.from_directories(directories), missing=missing, settings=FitSettings(**settings))


def sentences_of(directories, **settings):
    return dict(summarise(evidence_of(directories, **settings)).headed())


def everything_said(directories) -> str:
    summary = summarise(evidence_of(directories))
    return "\n".join([summary.headline, *(sentence for _, part in summary.headed() for sentence in part)])


def test_the_page_asks_for_nothing(page):
    for element in page.elements:
        assert element.tag not in {"iframe", "object", "embed", "base", "form", "img"}
        assert "src" not in element.attributes
        assert not any(name.startswith("on") for name in element.attributes)
        href = element.attributes.get("href", "#")
        assert href.startswith(("#", "data:,")), href
    styles = "".join(element.text for element in page.all("style"))
    assert not re.search(r"url\(|@import|@font-face|https?:", styles)
    assert not re.search(r"https?:|fetch|import\(|XMLHttpRequest", page.all("script")[-1].text)


def test_only_the_two_scripts_of_the_page_may_run(page):
    (policy,) = [e.attributes["content"] for e in page.all("meta") if "http-equiv" in e.attributes]
    assert policy.startswith("default-src 'none';")
    runnable = [script for script in page.all("script") if "type" not in script.attributes]
    hashes = [base64.b64encode(hashlib.sha256(s.text.encode()).digest()).decode() for s in runnable]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert len(hashes) == 2
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_what_users_wrote_is_text(out, page):
    markup = (out / "report.html").read_text()
    library = page.all("script")[-2].text
    rest = markup.replace(library, "")
    assert ATTACK not in rest
    assert "alert(1)" not in "".join(script.text for script in page.all("script") if script.text != library)
    assert page.all("h1")[0].text == HEADER["title"]
    assert any(element.text == HEADER["question"] for element in page.all("p"))
    failed = next(element for element in page.all("details") if "sambay-d24" in element.attributes["id"])
    assert failed.text.count(ATTACK) == 2
    assert ATTACK not in (out / "report.md").read_text()


def test_every_run_opens_to_its_spec_commit_and_log(page, directories):
    shown = {element.attributes["id"]: element for element in page.all("details")}
    assert set(shown) == {f"run-{directory.run_id}" for directory in directories}
    for directory in directories:
        details = shown[f"run-{directory.run_id}"]
        spec = next(e.text for e in details.children if e.tag == "pre" and "Spec" in e.attributes["aria-label"])
        assert json.loads(spec) == to_json(directory.spec())
        if directory.attempts():
            assert COMMIT in details.text
            assert f"python -m archscale.train {directory.run_id}" in details.text


def test_a_log_is_shown_from_its_fortieth_last_line(page):
    failed = next(element for element in page.all("details") if "sambay-d24" in element.attributes["id"])
    log = next(e.text for e in failed.children if e.tag == "pre" and "Log" in e.attributes["aria-label"])
    assert log.splitlines() == [f"line {k}" for k in range(21, 60)] + [f"RuntimeError: {ATTACK}"]


def test_every_point_and_every_named_run_leads_to_details(page):
    ids = {element.attributes["id"] for element in page.elements if "id" in element.attributes}
    links = [e.attributes["href"] for e in page.all("a")]
    assert len(links) == 3
    assert all(link.removeprefix("#") in ids for link in links)
    figures = [json.loads(e.text) for e in page.all("script") if e.attributes.get("type") == "application/json"]
    anchors = {a for figure in figures for trace in figure["data"] for a in trace.get("customdata", [])}
    assert len(anchors) == 9
    assert anchors <= ids


def test_figures_say_in_words_what_they_show_and_wide_tables_scroll_by_keyboard(page):
    plots = [e for e in page.all("div") if e.attributes.get("role") == "img"]
    assert len(plots) == 5
    assert all(len(e.attributes["aria-label"]) > 40 for e in plots)
    regions = [e for e in page.all("div") if e.attributes.get("role") == "region"]
    assert len(regions) == len(page.all("table")) == 3
    assert all(e.attributes["tabindex"] == "0" for e in regions)


def test_fits_json_is_strict_and_equals_the_fit_of_its_own_points(out):
    values = strict_json((out / "fits.json").read_text())
    points = RunTable.from_directories([]).runs.from_records(values["points"])
    fits = fit_groups("power_offset", points, x="compute", y="validation_loss", group="label")
    assert set(values["fits"]) == set(fits) == {"SambaY", "Transformer++"}
    for label, fit in fits.items():
        for name, shown in values["fits"][label]["parameters"].items():
            assert shown["value"] == pytest.approx(fit.parameters[name], rel=1e-9)
            assert shown["low"] == pytest.approx(fit.intervals[name].low, rel=1e-9)
            assert shown["verdict"] == fit.verdicts[name]
        true = dict(zip("AbC", fake_runs.LAW[values["groups"][label]], strict=True))
        assert all(s["low"] <= true[n] <= s["high"] for n, s in values["fits"][label]["parameters"].items())
    assert len(values["points"]) == 8
    assert sorted(values["left_out"].values()) == ["diverged", "failed", "pending"]
    assert values["missing"] == ["never-started"]
    assert {item["kind"] for item in values["comparisons"]} == {"nested F-test", "loss gap"}
    assert values["settings"]["level"] == 0.95
    assert values["flops_accounting"] == fake_runs.ACCOUNTING


def test_markdown_has_the_same_tables_and_its_images_exist(out, directories):
    text = (out / "report.md").read_text()
    images = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert len(images) == 5
    assert all((out / image).is_file() for image in images)
    fit = evidence_of(directories).fits["SambaY"]
    (row,) = [line for line in text.splitlines() if line.startswith("| SambaY |") and "identified" in line]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2].startswith(f"{fit.parameters['b']:.3f}")
    assert cells[-2:] == ["4", "1"]
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1


def test_runs_csv_has_a_line_for_every_run(out, directories):
    lines = (out / "runs.csv").read_text().splitlines()
    assert len(lines) == 1 + len(directories)
    assert lines[0].startswith("run_id,architecture,title,depth,width,parameters")


def test_the_same_runs_give_the_same_files(out, directories, tmp_path):
    again = write_study_report(directories, tmp_path / "again")
    names = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert len(names) == 4 + 15
    for name in names:
        assert (out / name).read_bytes() == (again / name).read_bytes(), name


def test_the_answer_sets_what_was_measured_apart_from_what_is_not(directories):
    said = sentences_of(directories)
    measured, extrapolated = (" ".join(said[key]) for key in ("What these runs establish", "What is only extrapolated"))
    assert "The measured loss of SambaY is lower than that of Transformer++ at all 4 depths" in measured
    assert "They spent the same compute there." in measured
    assert re.search(
        r"The loss falls with every step .* SambaY \(2\.\d+ to 1\.\d+ in 3 steps\) and Transformer", measured
    )
    assert "irreducible" not in measured
    assert extrapolated.count("The irreducible loss of") == 2
    assert any("irreducible losses C" in line for line in said["What they cannot tell"])
    assert any("every cell has one run" in line for line in said["What they cannot tell"])
    assert "8 fitted runs share code commit" in said["Drift between runs"][0]


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


def test_three_points_give_a_curve_without_interval_and_say_what_is_missing(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", depth)) for depth in (8, 12, 16)]
    evidence = evidence_of(runs)
    summary = summarise(evidence)
    assert any("no interval can be given; one more scale would give one" in line for line in summary.cannot_tell)
    page = Page(html_document(HEADER, evidence, summary))
    assert "no degree of freedom is left, so there is no interval to shade" in page.by_id("loss").text
    assert any("no interval" in cell.text for cell in page.all("td"))
    values = strict_json(json_document(HEADER, evidence, summary))
    assert values["fits"]["SambaY"]["residual_std"] is None


def test_two_points_give_no_fit_and_say_how_many_scales_are_needed(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", depth)) for depth in (8, 12)]
    evidence = evidence_of(runs)
    summary = summarise(evidence)
    assert not evidence.fits
    assert any("it needs 3 scales, and 4 for intervals; 2 more scales would do" in line for line in summary.missing)
    page = Page(html_document(HEADER, evidence, summary))
    assert "too few for a fit" in page.by_id("loss").text
    assert len(page.all("details")) == 2
    assert strict_json(json_document(HEADER, evidence, summary))["fits"] == {}
    assert "## Fits" not in markdown_document(HEADER, evidence, summary, ["loss"])


def test_a_group_with_too_few_points_does_not_stop_the_others(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", depth)) for depth in fake_runs.DEPTHS]
    runs.append(write_run(tmp_path, spec_of("transformer_pp", 8)))
    evidence = evidence_of(runs)
    assert set(evidence.fits) == {"SambaY"}
    assert any("needs two fitted architectures" in line for line in summarise(evidence).cannot_tell)
    assert any(line.startswith("Transformer++ has no fit: 1 scale finished") for line in summarise(evidence).missing)


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
    told = [line for line in summary.establishes if line.startswith("The measured loss of")]
    assert len(told) == 4
    assert all("of a is lower than" in line for line in told)
    assert any("32 more comparisons are in the table" in line for line in summary.cannot_tell)


def test_without_a_finished_run_the_next_step_is_named(tmp_path):
    spec = spec_of("sambay", 8)
    table = RunTable.from_directories([fake_runs.write_spec(tmp_path, spec)])
    with pytest.raises(UserError, match=r"no run of this study has finished \(1 pending\): run `archscale sweep`"):
        write_report(**HEADER, table=table, missing=[], fit_settings=FitSettings(), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"law": "power_ofset"}, "power_offset"),
        ({"x": "flops"}, "compute"),
        ({"level": 95}, "level = 95"),
    ],
)
def test_settings_are_checked_by_name(settings, said):
    with pytest.raises(UserError, match=said):
        FitSettings(**settings)


def test_a_fit_against_tokens_says_tokens(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", depth)) for depth in fake_runs.DEPTHS]
    evidence = evidence_of(runs, x="tokens")
    page = Page(html_document(HEADER, evidence, summarise(evidence)))
    assert "Training tokens" in page.by_id("figure-loss").text
    assert "FLOPs are counted" not in page.by_id("loss").text


def test_numbers_of_the_intervals_are_finite_or_null_on_the_page(page):
    figures = [e.text for e in page.all("script") if e.attributes.get("type") == "application/json"]
    for text in figures:
        strict_json(text)
    values = [v for text in figures for trace in json.loads(text)["data"] for v in trace["y"]]
    assert all(value is None or math.isfinite(value) for value in values)
