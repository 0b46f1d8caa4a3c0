import base64
import hashlib
import json
import math
import re
from pathlib import Path

import pytest

from analysis.fit import fit_groups
from analysis.report.evidence import check_settings, gather
from analysis.report.law_report import law_reading
from analysis.report.page import html_document
from analysis.report.write import json_document, markdown_document, write_report
from analysis.table import RunTable
from archscale.registry import UserError
from archscale.spec import FitSettings, to_json
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
    path = write_report(**HEADER, table=table, missing=["never-started"], settings=FitSettings(), out=out)
    assert path == out / "report.html"
    return out


def evidence_of(directories, *, missing=(), **settings):
    return gather(table=RunTable.from_directories(directories), missing=missing, settings=FitSettings(**settings))


def figures_of(page: Page) -> list[dict]:
    return [json.loads(e.text) for e in page.all("script") if e.attributes.get("id", "").startswith("figure-")]


def details_of(page: Page) -> dict[str, dict]:
    """By anchor what the page's script shows of a run: report.js puts the spec together in the same way."""
    data = json.loads(page.by_id("run-details").text)
    shown = {}
    for anchor, run in data["runs"].items():
        about = {key: value for key, value in zip(data["keys"], run["about"], strict=True) if value}
        base, changed = run["spec"]
        lines = [changed.get(str(place), line) for place, line in enumerate(data["bases"][base])]
        shown[anchor] = run | {"about": about, "spec": "\n".join(lines)}
    return shown


def test_the_page_asks_for_nothing(page):
    for element in page.elements:
        assert element.tag not in {"iframe", "object", "embed", "base", "form", "img"}
        assert "src" not in element.attributes
        assert not any(name.startswith("on") for name in element.attributes)
        href = element.attributes.get("href", "#")
        assert href.startswith(("#", "data:,")), href
    styles = "".join(element.text for element in page.all("style"))
    assert not re.search(r"url\(|@import|@font-face|https?:", styles)
    # The name of a namespace is no address that is asked for.
    own = page.all("script")[-1].text.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|fetch|import\(|XMLHttpRequest", own)


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
    runnable = [script.text for script in page.all("script") if "type" not in script.attributes]
    assert "alert(1)" not in "".join(text for text in runnable if text != library)
    assert page.all("h1")[0].text == HEADER["title"]
    assert any(element.text == HEADER["question"] for element in page.all("p"))
    failed = next(run for anchor, run in details_of(page).items() if "sambay-d24" in anchor)
    assert json.dumps(failed).count(ATTACK) == 2
    assert ATTACK not in (out / "report.md").read_text()


def test_every_run_opens_to_its_spec_commit_and_log(page, directories):
    shown = details_of(page)
    listed = {e.attributes["id"] for e in page.all("details") if e.attributes["class"] == "run"}
    assert set(shown) == listed == {f"run-{directory.run_id}" for directory in directories}
    for directory in directories:
        details = shown[f"run-{directory.run_id}"]
        assert json.loads(details["spec"]) == to_json(directory.spec())
        if directory.attempts():
            assert COMMIT in details["about"]["Commit"]
            assert details["about"]["Command"] == f"python -m archscale.train {directory.run_id}"


def test_a_log_is_shown_from_its_fortieth_last_line(page):
    failed = next(run for anchor, run in details_of(page).items() if "sambay-d24" in anchor)
    assert failed["log"].splitlines() == [f"line {k}" for k in range(21, 60)] + [f"RuntimeError: {ATTACK}"]


def test_every_point_and_every_named_run_leads_to_details(page):
    ids = {element.attributes["id"] for element in page.elements if "id" in element.attributes}
    links = [e.attributes["href"] for e in page.all("a") if e.attributes.get("class") != "skip"]
    assert len(links) == 3
    assert all(link.removeprefix("#") in ids for link in links)
    figures = figures_of(page)
    anchors = {a for figure in figures for trace in figure["data"] for a in trace.get("customdata", []) if a}
    assert len(anchors) == 9
    assert anchors <= ids


def test_figures_say_in_words_what_they_show_and_wide_tables_scroll_by_keyboard(page):
    plots = [e for e in page.all("div") if e.attributes.get("role") == "img"]
    assert len(plots) == len(figures_of(page)) >= 5
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
    assert len(images) == len(list((out / "figures").glob("*.png"))) >= 5
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
    assert len(names) == 4 + 3 * len(list((out / "figures").glob("*.png")))
    for name in names:
        assert (out / name).read_bytes() == (again / name).read_bytes(), name


def test_three_points_give_a_curve_without_interval_and_say_what_is_missing(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", depth)) for depth in (8, 12, 16)]
    evidence = evidence_of(runs)
    reading = law_reading(evidence)
    summary = reading.summary
    assert any("no interval can be given; one more scale would give one" in line for line in summary.cannot_tell)
    page = Page(html_document(HEADER, reading))
    assert "no degree of freedom is left, so there is no interval to shade" in page.by_id("loss").text
    assert any("no interval" in cell.text for cell in page.all("td"))
    values = strict_json(json_document(HEADER, reading))
    assert values["fits"]["SambaY"]["residual_std"] is None


def test_two_points_give_no_fit_and_say_how_many_scales_are_needed(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", depth)) for depth in (8, 12)]
    evidence = evidence_of(runs)
    reading = law_reading(evidence)
    summary = reading.summary
    assert not evidence.fits
    assert any("it needs 3 scales, and 4 for intervals; 2 more scales would do" in line for line in summary.missing)
    page = Page(html_document(HEADER, reading))
    assert "too few for a fit" in page.by_id("loss").text
    assert len(details_of(page)) == 2
    assert strict_json(json_document(HEADER, reading))["fits"] == {}
    assert "## Fits" not in markdown_document(HEADER, reading, ["loss"])


def test_without_a_finished_run_the_next_step_is_named(tmp_path):
    spec = spec_of("sambay", 8)
    table = RunTable.from_directories([fake_runs.write_spec(tmp_path, spec)])
    with pytest.raises(UserError, match=r"no run of this study has finished \(1 pending\): `archscale sweep STUDY`"):
        write_report(**HEADER, table=table, missing=[], settings=FitSettings(), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"law": "power_ofset"}, "power_offset"),
        ({"x": "flops"}, "compute"),
    ],
)
def test_settings_are_checked_by_name(settings, said):
    with pytest.raises(UserError, match=said):
        check_settings(FitSettings(**settings))


def test_a_fit_against_tokens_says_tokens(tmp_path):
    runs = [write_run(tmp_path, spec_of("sambay", depth)) for depth in fake_runs.DEPTHS]
    evidence = evidence_of(runs, x="tokens")
    page = Page(html_document(HEADER, law_reading(evidence)))
    assert "Training tokens" in page.by_id("figure-loss").text
    assert "FLOPs are counted" not in page.by_id("loss").text


def test_data_on_the_page_is_strict_json_and_cannot_end_its_script_element(page):
    blocks = [e.text for e in page.all("script") if e.attributes.get("type") == "application/json"]
    assert len(blocks) == 1 + len(figures_of(page))
    for text in blocks:
        strict_json(text)
        assert not re.search(r"[<>&]", text)
    values = [v for figure in figures_of(page) for trace in figure["data"] for v in trace["y"]]
    assert all(value is None or math.isfinite(value) for value in values)


def test_a_single_finished_run_can_be_reported(tmp_path):
    table = RunTable.from_directories([write_run(tmp_path / "runs", spec_of("sambay", 8))])
    path = write_report(**HEADER, table=table, missing=[], settings=FitSettings(), out=tmp_path / "out")
    assert path.exists()
