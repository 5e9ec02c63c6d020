"""The page of `kernel-zoo report`, as a browser shows it: sorted, filtered, in the dark, on a phone, and silent."""

import datetime
import itertools
import json
import os
import shlex
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import children
import pytest
from click.testing import CliRunner

import registry

pytest.importorskip("jinja2")
pytest.importorskip("vl_convert")

from kernels import _report
from kernels._cli import cli
from kernels._cli.compare import compare
from kernels._cli.inputs import example
from kernels._cli.report import repeat
from kernels._costs.table import Entry, Table
from kernels._measure.plan import plan
from kernels._measure.tuning import described
from kernels._report import sheets
from kernels._report.calls import Call

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"
TODAY = datetime.date(2026, 3, 10)
HOME = str(Path.home())


def entry(variant, n, seconds, **more):
    more = {"noise": 0.02, "of_bound": 0.25} | more
    extents = {"batch": 1, "m": n, "k": n, "n": n}
    return Entry("matmul", variant, "float32", extents, {}, {}, {}, seconds, 0.01, "2026-03-07", **more)


def made_up():
    """Return a table in which numpy is the fastest of the right ones, loop is given up, and einsum, the fastest, is wrong."""
    entries = [
        each
        for n in (4, 64, 1024)
        for each in (
            entry("numpy", n, 1e-6 * n),
            entry("torch", n, 1.01e-6 * n if n == 64 else 2e-6 * n),
            entry("einsum", n, 1e-9 * n),
            entry(HOSTILE, n, 3e-6 * n),
            entry("loop", n, 1e-4 * n, abandoned=n == 1024),
        )
    ]
    wrong = entry("einsum", 1024, float("inf"), of_bound=None, noise=None, wrong=f"off by 7 times its bound ({HOME}/secret.py)")
    machine = {"processor": HOSTILE, "cores": 2, "versions": {"numpy": "2.4"}}
    return Table(tuple(entries), "tuned", machine, notes=(f"{HOME}/measured.json is not used",), refused=(wrong,))


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return a folder of records: wrong kernels, and a GPU."""
    folder = tmp_path_factory.mktemp("results")
    refused = {"blind": {"is": HOSTILE, "refused_by": ["agrees_with_reference"]}, "sly": {"is": "It hides.", "refused_by": []}}
    kills = {"matmul": {"measured": "2026-03-01T00:00:00+00:00", "kernels": refused}}
    (folder / "wrong_kernels.json").write_text(json.dumps(kills))
    about = {"operation": "matmul", "work": HOSTILE, "units": 2e9, "bytes": 12e6, "rate": "3", "ceiling": "matmul float32"}
    records = [
        about | {"label": label, "seconds": seconds} for label, seconds in (("triton", 1e-4), ("torch", 2e-4), (HOSTILE, None))
    ]
    gpu = {"environment": {"gpu": {"name": "made up"}}, "ceilings": {"copy": 1e12, "matmul float32": 4e13}, "records": records}
    (folder / "gpu.json").write_text(json.dumps({"runs": [gpu]}))
    call = {"operation": "matmul", "dtype": "float32", "extents": {"m": 3}, "parameters": {}, "facts": {}, "best": HOSTILE}
    ratios = [1 + i / 100 for i in range(21)]
    records = [call | {"ratio": {"shipped": 2 * r, "tuned": r}, "chosen": {"shipped": "loop", "tuned": "numpy"}} for r in ratios]
    (folder / "regret.json").write_text(json.dumps({"records": records}))
    (folder / "other.json").write_text(json.dumps({"records": []}))
    return folder


@pytest.fixture(scope="module")
def html(results, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "zoo.html"
    path.write_text(_report.page(made_up(), results, ("matmul", "softmax"), TODAY, repeat), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("needs Chromium (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(children.SERVES, "1")  # it outlives the first of its tests
        running = playwright.sync_playwright().start()
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else [])
    yield chromium
    chromium.close()
    running.stop()


@pytest.fixture
def look(browser, html):
    """Return a function that opens the page; whatever it asks for, and whatever it complains of, fails the test."""
    opened, heard = [], []

    def open_(**how):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | how)
        opened.append(context)
        page = context.new_page()
        context.route("**/*", lambda route: route.continue_() if route.request.url == html.as_uri() else route.abort())
        page.on("request", lambda request: heard.append(request.url))
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("dialog", lambda dialog: heard.append(dialog.message))
        page.goto(html.as_uri())
        page.wait_for_function("document.querySelectorAll('.chart svg').length == document.querySelectorAll('.chart').length")
        return page

    yield open_
    assert set(heard) == {html.as_uri()}
    for context in opened:
        context.close()


def column(page, sheet, heading):
    """Return the texts that a table shows under a heading."""
    headings = page.locator(f"{sheet} thead button").all_inner_texts()
    rows = page.locator(f"{sheet} tbody tr:visible")
    return [rows.nth(i).locator("> *").nth(headings.index(heading)).inner_text() for i in range(rows.count())]


LADDER, CALLS = "#matmul .sheet >> nth=0 >>", "#matmul .sheet >> nth=1 >>"


def test_the_fastest_right_variant_wins_and_a_wrong_one_is_shown_first(look):
    page = look()
    assert column(page, CALLS, "fastest") == ["numpy", "numpy", "numpy (tie)"]
    assert column(page, CALLS, "wrong")[0] == "einsum WRONG: off by 7 times its bound (~/secret.py)"
    assert column(page, CALLS, "measured") == ["2026-03-07 (3 days ago)"] * 3
    assert column(page, LADDER, "variant")[0] == "einsum"
    assert column(page, LADDER, "here")[0].startswith("WRONG on m = 1,024")
    assert set(column(page, LADDER, "variant")) == {v.name for v in registry.variants("matmul")}


def test_tables_are_sorted_and_filtered(look):
    page = look()
    times = page.locator(f"{LADDER} thead button", has_text="time")
    times.click()
    rising = column(page, LADDER, "variant")
    assert rising[:3] == ["numpy", "torch", "loop"]
    times.click()
    assert column(page, LADDER, "variant")[:3] == ["loop", "torch", "numpy"]
    assert page.locator(f"{LADDER} th[aria-sort=descending]").count() == 1
    page.locator(f"{LADDER} thead button", has_text="variant").click()
    assert (names := column(page, LADDER, "variant")) == sorted(names)
    page.locator(f"{LADDER} input").fill("NUMBA cpu")
    expected = {v.name for v in registry.variants("matmul") if v.framework == "numba" and v.device == "cpu"}
    assert set(column(page, LADDER, "variant")) == expected
    assert page.locator(f"{LADDER} output").inner_text() == f"{len(expected)} of {len(names)}"
    page.locator(f"{LADDER} input").fill("")
    assert len(column(page, LADDER, "variant")) == len(names)


def test_regret_is_that_of_the_records(look):
    page = look()
    regret = "#matmul .sheet.regret >>"
    assert column(page, regret, "table") == ["shipped", "tuned"]
    assert column(page, regret, "median") == ["2.20×", "1.10×"]
    assert column(page, regret, "95th percentile") == ["2.38×", "1.19×"]
    assert column(page, regret, "worst") == ["2.40×", "1.20×"]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_legible_on_a_phone_and_in_the_dark(look, width, scheme, tmp_path):
    page = look(color_scheme=scheme, viewport={"width": width, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    picture = page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert len(picture) > 20_000


# Texts whose colour has a contrast of less than 4.5 to 1 with what is behind them (WCAG 2, level AA).
CONTRAST = """() => {
  const channels = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    const c = e ? channels(getComputedStyle(e).backgroundColor) : [255, 255, 255];
    return c[3] === 0 ? behind(e.parentElement) : c;
  };
  const weak = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !e.getClientRects().length || ["SCRIPT", "OPTION"].includes(e.tagName)) continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(channels(e instanceof SVGElement ? style.fill : style.color)), light(behind(e))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (!(contrast >= 4.5)) weak.push(`${e.tagName} ${e.textContent.slice(0, 40)} ${contrast}`);
  }
  return weak;
}"""


def test_the_map_tells_variants_apart_without_colour_and_shows_ties_hollow(look):
    page = look()
    marks = page.locator("#matmul .chart >> nth=0 >> .mark-symbol.role-mark path")
    looks = marks.evaluate_all("all => all.map(e => [e.getAttribute('fill-opacity') ?? '1', getComputedStyle(e).fill != 'none'])")
    assert [opacity for opacity, _ in looks].count("0") == 1
    crosses = page.locator("#matmul .chart >> nth=0 >> .mark-text.role-mark text").all_text_contents()
    assert [*filter(None, crosses)] == ["✕"]
    legend = page.locator("#matmul .chart >> nth=1 >> .role-legend-symbol path").evaluate_all(
        "all => all.map(e => e.getAttribute('d'))"
    )
    assert len(set(legend)) == len(legend) == 4


def test_it_prints_what_the_screen_hides(look):
    page = look(color_scheme="dark", viewport={"width": 700, "height": 1000})
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(CONTRAST) == []
    assert page.locator("#matmul .filter:visible").count() == 0
    assert page.locator("#matmul details td", has_text="It hides.").is_visible()


class Tags(HTMLParser):
    """Counts the tags of a page."""

    def __init__(self):
        super().__init__()
        self.found = Counter()

    def handle_starttag(self, tag, attributes):
        self.found[tag, dict(attributes).get("type")] += 1


def test_nothing_of_the_data_is_taken_for_markup_or_tells_of_folders(html):
    tags, text = Tags(), html.read_text()
    tags.feed(text)
    assert tags.found["script", "module"] == 2  # the library's and the page's own
    assert {kind for tag, kind in tags.found if tag == "script"} == {"module", "application/json"}
    assert "img" not in {tag for tag, _ in tags.found}
    assert HOME + "/" not in text
    assert str(Path(registry.__file__).parent) not in text
    assert len(text) < 3_000_000
    assert "default-src 'none'" in text


def test_what_was_not_measured_is_absent_and_the_page_says_what_would_measure_it():
    text = _report.page(Table((), "tuned"), None, ("softmax",), TODAY, repeat)
    for command in ("kernel-zoo tune softmax", "--kill-table", "python bench/gpu.py", "python bench/regret.py softmax"):
        assert command in text
    assert "vega-lite/v6" not in text


@pytest.mark.parametrize("operation", registry.operations())
def test_the_command_that_repeats_a_call_asks_for_its_shape(operation):
    """What a plan draws, described as a tune does, becomes a command whose call has that description, but for its contents."""
    contract = registry.contract(operation)
    for planned in itertools.islice(plan(contract, named=False, entries=2**10), 4):
        said = described(contract, planned.example(contract), planned.dtype, looks=False)
        words = shlex.split(repeat(Call(operation, said.dtype, said.extents, said.parameters, {})))
        assert words[:3] == ["kernel-zoo", "compare", operation]
        options = compare.make_context("compare", words[2:]).params
        asked = {key: options[key] for key in ("size", "file", "columns", "sample", "dtype", "changes", "shape")}
        assert described(contract, example(operation, **asked), planned.dtype, looks=False) == said


def test_ages_are_counted_from_the_day_of_the_page():
    assert sheets.age("2026-03-10T23:00:00", TODAY).text == "2026-03-10 (today)"
    assert sheets.age("2026-03-09", TODAY).text == "2026-03-09 (yesterday)"
    assert sheets.age("2025-03-10", TODAY).key == 365


def test_the_command_refuses_in_one_line(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "regret.json").write_text("{}")
    for arguments, said in (
        (["--output", "zoo.pdf"], "expected a name that ends in .html"),
        (["--output", str(tmp_path / "none" / "zoo.html")], "there is no folder"),
        (["--output", str(tmp_path / "zoo.html"), "--results", str(tmp_path)], "broken.json: is no JSON"),
        (["--output", str(tmp_path / "zoo.html"), "--results", str(tmp_path / "other")], "lacks 'records'; record it again"),
    ):
        done = CliRunner().invoke(cli, ["report", *arguments])
        assert done.exit_code
        assert said in done.output + str(done.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.json", "other"]


def test_the_command_writes_the_page_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("KERNEL_ZOO_CACHE", str(tmp_path / "cache"))
    done = CliRunner().invoke(cli, ["report", "--output", str(tmp_path / "zoo.html")])
    assert done.exit_code == 0, done.output
    text = (tmp_path / "zoo.html").read_text()
    assert all(f'<section id="{operation}">' in text for operation in registry.operations())
