"""The page of a report as readers meet it: with a mouse, a keyboard, a telephone, in the dark, without a network."""

from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest

from analysis.report.style import styles
from tests.browser.conftest import ATTACK

MEASURES = (Path(__file__).parent / "measures.js").read_text()
SAMBAY = "SambaY"


def figures(tab):
    return [element.get_attribute("data-figure") for element in tab.query_selector_all("[data-figure]")]


def drawn_points(tab, figure: str) -> int:
    return tab.locator(f"[data-figure={figure}] .scatterlayer .point").count()


def point_places(tab, figure: str):
    """Where the markers of a figure are, in pixels of the window."""
    return tab.eval_on_selector_all(
        f"[data-figure={figure}] .scatterlayer .points path",
        """paths => paths.map(path => { const box = path.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2]; })""",
    )


def eventually(tab, expression: str) -> bool:
    """Whether it becomes true within seconds.

    The page's policy forbids the evaluation in the page by which Playwright would wait.
    """
    for _ in range(100):
        if tab.evaluate(expression):
            return True
        tab.wait_for_timeout(50)
    return False


def test_it_opens_without_a_network_request_or_a_word_on_the_console(open_report, report):
    opened = open_report()
    assert opened.asked == [report.as_uri()]
    assert opened.said == []


def test_nothing_that_a_user_wrote_runs(desk):
    opened = desk
    tab = opened.tab
    for summary in tab.query_selector_all("details > summary"):
        summary.click()
    for figure in figures(tab):
        tab.locator(f"[data-figure={figure}]").scroll_into_view_if_needed()
        for x, y in point_places(tab, figure)[:3]:
            tab.mouse.move(x, y)
    assert tab.evaluate("window.hacked") is None
    assert opened.dialogs == []
    assert opened.said == []
    assert tab.query_selector_all("img") == []
    assert "onerror=" in tab.inner_text("h1")
    schemes = tab.eval_on_selector_all("a", "links => links.map(link => link.protocol)")
    assert set(schemes) <= {"file:", "https:"}
    assert schemes.count("https:") == 1


def test_every_figure_has_its_points_or_lines(desk):
    tab = desk.tab
    names = figures(tab)
    assert {"figure-loss", "figure-residuals", "figure-profiles", "figure-training"} <= set(names)
    for name in names:
        lines = tab.locator(f"[data-figure={name}] .scatterlayer .js-line").count()
        bars = tab.locator(f"[data-figure={name}] .barlayer .point").count()
        assert drawn_points(tab, name) + lines + bars > 0, name
    assert drawn_points(tab, "figure-loss") == 8


def test_hover_names_the_run_under_the_pointer(desk):
    tab = desk.tab
    tab.locator("[data-figure=figure-loss]").scroll_into_view_if_needed()
    tab.mouse.move(*point_places(tab, "figure-loss")[0])
    tab.wait_for_selector("[data-figure=figure-loss] .hoverlayer text")
    said = tab.text_content("[data-figure=figure-loss] .hoverlayer")
    assert "depth 8, width 32" in said
    assert "nats/token" in said
    assert "onerror=" in said  # the hostile name, as text


def test_a_legend_button_hides_its_group_in_all_figures_and_shows_it_again(desk):
    tab = desk.tab
    before = {name: drawn_points(tab, name) for name in ("figure-loss", "figure-residuals", "figure-training")}
    button = tab.locator("[data-legend=figure-residuals] button", has_text="Transformer++")
    button.focus()
    tab.keyboard.press("Enter")
    pressed = tab.eval_on_selector_all(
        "[data-legend] button",
        "all => all.filter(one => one.textContent === 'Transformer++').map(one => one.ariaPressed)",
    )
    assert len(pressed) >= 3
    assert set(pressed) == {"false"}
    assert drawn_points(tab, "figure-loss") == 4
    assert all(0 < drawn_points(tab, name) < count for name, count in before.items())
    tab.keyboard.press("Space")
    assert {name: drawn_points(tab, name) for name in before} == before


def test_a_double_click_leaves_one_group(desk):
    tab = desk.tab
    tab.locator("[data-legend=figure-loss] button", has_text="Transformer++").dblclick()
    pressed = tab.eval_on_selector_all(
        "[data-legend=figure-loss] button", "all => all.map(one => [one.textContent.slice(0, 6), one.ariaPressed])"
    )
    assert sorted(pressed) == [["SambaY", "false"], ["Transf", "true"]]


def test_a_click_on_a_point_opens_its_run_and_back_returns(desk):
    tab = desk.tab
    tab.locator("[data-figure=figure-loss]").scroll_into_view_if_needed()
    place = tab.evaluate("scrollY")
    tab.mouse.click(*point_places(tab, "figure-loss")[-1])
    tab.wait_for_selector(".run[open] pre")
    (run,) = tab.query_selector_all(".run[open]")
    anchor = run.get_attribute("id")
    assert unquote(tab.evaluate("location.hash")) == f"#{anchor}"
    text = run.inner_text()
    for part in ("spec.json", "3f2c9a1be07d", "python -m archscale.train", '"learning_rate"', "validation_loss"):
        assert part in text, part
    assert tab.evaluate("document.activeElement.parentElement.id") == anchor
    assert eventually(tab, f"scrollY > {place} + 1000")
    tab.go_back()
    assert eventually(tab, f"Math.abs(scrollY - {place}) < 50")


def test_an_address_with_a_run_opens_it(open_report, desk):
    anchor = desk.tab.locator(".run").first.get_attribute("id")
    tab = open_report(anchor=f"#{anchor}").tab
    assert tab.locator(".run[open]").get_attribute("id") == anchor


def test_a_run_links_to_its_page_at_wandb_only_over_the_web(desk):
    tab = desk.tab
    for summary in tab.query_selector_all(".run > summary"):
        summary.click()
    links = tab.eval_on_selector_all(".about a", "links => links.map(link => [link.href, link.rel])")
    assert len(links) == 1
    assert links[0][0].startswith("https://wandb.ai/a/b/runs/c?")
    assert links[0][1] == "noopener noreferrer"
    pages = tab.evaluate(
        "Object.values(JSON.parse(document.getElementById('run-details').textContent).runs).map(run => run.wandb)"
    )
    assert [page for page in pages if page] == [f"https://wandb.ai/a/b/runs/c?{ATTACK}"]


def test_the_data_of_a_figure_are_a_table_that_leads_to_the_runs(desk):
    tab = desk.tab
    tab.locator("#loss .data > summary").focus()
    tab.keyboard.press("Enter")
    rows = tab.locator("#loss .data tbody tr")
    rows.first.wait_for()
    assert rows.count() == 8
    assert "Validation loss (nats/token)" in tab.inner_text("#loss .data thead")
    link = rows.last.locator("a")
    link.focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".run[open]")
    assert tab.locator(".run[open]").count() == 1


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable(open_report, width, scheme):
    tab = open_report(width=width, scheme=scheme).tab
    for summary in tab.query_selector_all("details > summary"):
        summary.click()
    tab.evaluate(MEASURES)
    tab.wait_for_timeout(100)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("measures.clipped()") == []
    assert tab.evaluate("measures.crowded()") == []
    weak = [found for found in tab.evaluate("measures.contrasts()") if found["ratio"] < 4.5]
    assert weak == []
    pale = [found for found in tab.evaluate("measures.graphics()") if found["ratio"] < 3]
    assert pale == []
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(18, 20, 23)"}[scheme]


def test_figures_follow_a_change_of_scheme(open_report):
    tab = open_report(scheme="light").tab
    tab.emulate_media(color_scheme="dark")
    assert eventually(
        tab, "getComputedStyle(document.querySelector('.main-svg')).backgroundColor === 'rgb(18, 20, 23)'"
    )


def test_keys_lead_from_the_skip_link_over_the_legend_to_the_runs(open_report):
    tab = open_report().tab
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the answer"
    assert tab.locator(".skip").bounding_box()["y"] >= 0
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "answer"
    kinds = set()
    for _ in range(80):
        tab.keyboard.press("Tab")
        kind = tab.evaluate(
            """() => { const at = document.activeElement, outline = getComputedStyle(at);
                const seen = outline.outlineStyle !== 'none' && parseFloat(outline.outlineWidth) >= 2;
                const place = (at.closest('.data') ? ' data' : '') + (at.closest('.run') ? ' run' : '');
                return [at.tagName + place, seen]; }"""
        )
        assert kind[0] == "BODY" or kind[1], kind
        kinds.add(kind[0])
    assert {"A", "BUTTON", "SUMMARY data", "SUMMARY run", "DIV"} <= kinds


def test_the_page_has_landmarks_names_and_an_order_of_headings(desk):
    tab = desk.tab
    tab.evaluate(MEASURES)
    for summary in tab.query_selector_all("details > summary"):
        summary.click()
    assert tab.evaluate("measures.nameless()") == []
    for landmark in ("header", "main", "footer"):
        assert tab.locator(f"body > {landmark}").count() == 1
    levels = tab.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(one => Number(one.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = tab.eval_on_selector_all("[id]", "all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))
    assert tab.get_attribute("html", "lang") == "en"
    small = tab.eval_on_selector_all(
        "button, .data > summary", "all => all.filter(one => one.getBoundingClientRect().height < 24).length"
    )
    assert small == 0


def test_print_is_dark_on_white_without_controls(open_report):
    tab = open_report(scheme="dark").tab
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert eventually(
        tab, "getComputedStyle(document.querySelector('.main-svg')).backgroundColor === 'rgb(255, 255, 255)'"
    )
    assert not tab.locator(".skip").is_visible()
    assert tab.pdf()[:4] == b"%PDF"


def test_the_main_figure_stands_on_the_first_screen(open_report):
    tab = open_report(width=1440, height=900).tab
    # Hostile texts of many lines stand where a usual report has one.
    tab.evaluate("for (const one of document.querySelectorAll('h1, .question, .headline')) one.textContent = 'Which?'")
    for width, height, share in ((1440, 900, 0.75), (390, 844, 0.25)):
        tab.set_viewport_size({"width": width, "height": height})
        box = tab.locator("[data-figure=figure-loss]").bounding_box()
        assert height - box["y"] >= share * box["height"], width
        assert tab.locator("#answer").bounding_box()["y"] > box["y"]


def test_every_colour_of_a_group_can_be_seen_on_both_grounds(desk):
    """More groups than the report of these tests has, on the two grounds of the style sheet."""
    tab = desk.tab
    tab.evaluate(MEASURES)
    for hexed in {look.color for look in styles(f"group {number}" for number in range(42)).values()}:
        color = f"rgb({int(hexed[1:3], 16)}, {int(hexed[3:5], 16)}, {int(hexed[5:], 16)})"
        for ground in ("rgb(255, 255, 255)", "rgb(18, 20, 23)"):
            assert tab.evaluate("([one, two]) => measures.ratio(one, two)", [color, ground]) >= 3, (color, ground)
