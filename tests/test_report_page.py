"""The page and the figures of `ssvae report`.

1. The page is whole: nothing is loaded from elsewhere, everything from a run is escaped, pictures and runs are linked.
2. In a browser its tables are sorted and filtered, by the keyboard too, and it fits a telephone.
3. Figures tell any number of settings apart without colours, and their legends stand outside the axes.
"""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from fake_runs import a_run
from ssvae_cli.report import page
from ssvae_cli.report.figures import by_seed, pictures, spread_out
from ssvae_cli.report.runs import find_runs
from ssvae_cli.report.settings import Setting, sections_of
from ssvae_cli.tracking.line_styles import nested_widths, style

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def out(reported):
    return reported[1]


def test_the_page_is_whole_escaped_and_ranks_no_ordinary_vae_with_an_ssvae(out):
    text = (out / "report.html").read_text()
    assert "<mi>" not in text and "prior=&lt;mi&gt;" in text
    assert not re.search(r"(src|href)=.(?:https?:|//)", text) and "@import" not in text and "<link" not in text
    ours, vae = text.split('<section id="digits-ordinary-vaes">')
    assert "<strong>2.64 ± 0.17</strong>" in ours and "-90.0" in vae and "-90.0" not in ours
    assert "must not be ranked" in vae and "<strong>" not in vae


def test_every_picture_has_a_text_and_every_link_leads_somewhere(out):
    text = (out / "report.html").read_text()
    assert all(len(alt) > 5 for alt in re.findall(r'<img alt="(.*?)"', text)) and text.count("<img ") == 10
    labels = re.findall(r'<svg role="img" aria-label="(.*?)"', text)
    assert len(labels) == text.count("<svg") == 5 and all("digits" in label for label in labels)
    links = [html.unescape(link) for link in re.findall(r'href="([^"#]*)"', text)]
    assert links and all((out / re.sub("%(..)", lambda m: chr(int(m[1], 16)), link)).exists() for link in links)
    anchors = re.findall(r'href="#(.*?)"', text)
    assert anchors and all(f'id="{anchor}"' in text for anchor in anchors)


def test_pictures_beyond_the_limit_are_links(tmp_path):
    (run, *_), _ = find_runs([a_run(tmp_path / "run", "prior=mi")])
    size = run.pictures[0].stat().st_size
    for limit, count in ((size, 1), (size - 1, 0)):
        shown = page.pictures(SimpleNamespace(folder=tmp_path), "prior=mi", run, page.Budget(limit))
        assert shown.count("<img ") == count and shown.count('href="run/figures/pairs.png"') == 1


PROBE = """<!doctype html><iframe width=390 height=800></iframe><pre id=found></pre><script>
const frame = document.querySelector("iframe");
frame.srcdoc = PAGE;
frame.onload = () => {
  const found = {}, page = frame.contentDocument, table = page.querySelector("#digits-0");
  const names = () => [...table.tBodies[0].rows].filter(r => !r.hidden).map(r => r.cells[0].textContent);
  const heads = [...table.tHead.rows[0].cells], elbo = heads[2].querySelector("button");
  const sorts = () => heads.map(h => h.getAttribute("aria-sort"));
  found.before = names();
  elbo.click(); found.up = names(); found.upSort = sorts();
  elbo.click(); found.down = names(); found.downSort = sorts();
  heads[0].querySelector("button").click(); found.byName = names();
  const field = page.getElementById("digits-0-filter");
  field.value = "PRIOR vmf"; field.dispatchEvent(new Event("input")); found.filtered = names();
  found.count = field.parentElement.querySelector("output").textContent;
  field.value = ""; field.dispatchEvent(new Event("input")); found.all = names();
  const others = [...page.querySelectorAll("table.data thead button, input, summary, a, [tabindex]")];
  found.focusable = others.every(e => e.tabIndex === 0);
  found.labelled = [...page.querySelectorAll("input")].every(e => e.labels.length === 1);
  found.width = page.documentElement.scrollWidth;
  found.dark = frame.contentWindow.getComputedStyle(page.body).backgroundColor;
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_sorts_and_filters_the_tables_and_the_page_fits_a_telephone(out, tmp_path):
    text = json.dumps((out / "report.html").read_text()).replace("</", "<\\/")
    (tmp_path / "probe.html").write_text(PROBE.replace("PAGE", text))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--blink-settings=preferredColorScheme=0"]
    command = [CHROMIUM, *options, f"--user-data-dir={tmp_path}/profile", "--dump-dom", f"file://{tmp_path}/probe.html"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', ran.stdout, re.S)[1]))
    order = ["prior=infonce", "prior=<mi>", "prior=vmf"]
    assert found["up"] == order and found["down"] == order[::-1] and sorted(found["before"]) == sorted(order)
    assert found["upSort"][2] == "ascending" and found["downSort"][2] == "descending"
    assert {sort for i, sort in enumerate(found["downSort"]) if i != 2} == {"none"}
    assert found["byName"] == ["prior=<mi>", "prior=infonce", "prior=vmf"] == found["all"]
    assert found["filtered"] == ["prior=vmf"] and found["count"] == "1 of 3 rows"
    assert found["focusable"] and found["labelled"]
    assert found["width"] <= 390
    assert found["dark"] == "rgb(20, 23, 27)"


def test_a_hundred_settings_look_different_even_without_colours():
    looks = [style(i) for i in range(300)]
    assert len({(look["color"], look["marker"], str(look["linestyle"])) for look in looks}) == 300
    assert len({(look["marker"], str(look["linestyle"])) for look in looks[:40]}) == 40


def test_lines_that_coincide_show_each_other():
    for count in (1, 2, 5, 9):
        widths = nested_widths(count)
        assert len(widths) == count and all(a - b >= 0.5 for a, b in zip(widths, widths[1:]))


def figures_of(tmp_path: Path, count: int) -> list:
    for i in range(count):
        name = f"prior=p{i}-with-a-name-that-is-rather-long-{'x' * 30}"
        a_run(tmp_path / str(i), name, "seed=0", **{"elbo/test": 2.0 + i, "probe/linear/test": 0.5 + i / 50})
    (section,) = sections_of(find_runs([tmp_path])[0])
    metrics = ["elbo/test", "probe/linear/test"]
    return list(pictures(section, "x", ["elbo/validation"], metrics, "deviation"))


def test_the_legend_of_fourteen_long_settings_covers_nothing_and_axes_say_what_they_are(tmp_path):
    curves, seeds, against = figures_of(tmp_path, 14)
    for figure in (curves.figure, against.figure):
        figure.draw_without_rendering()
        (legend,), (axis,) = figure.legends, figure.axes
        assert len(legend.get_texts()) == 14
        box, page = legend.get_window_extent(), figure.bbox
        assert not box.overlaps(axis.get_tightbbox()) and page.x0 <= box.x0 and box.x1 <= page.x1 and box.y0 >= page.y0
        assert axis.get_window_extent().height > 150
    assert [axis.get_xlabel() for axis in seeds.figure.axes] == ["elbo/test, nats", "probe/linear/test, accuracy"]
    assert (curves.figure.axes[0].get_xlabel(), curves.figure.axes[0].get_ylabel()) == (
        "epoch",
        "elbo/validation, nats",
    )
    assert "14 settings" in curves.alt and "highest" in curves.alt


def test_labels_of_many_keys_stand_apart_and_leave_the_axes_their_place():
    label = " ".join(f"evaluation.metrics.key{i}=0" for i in range(12))
    run = SimpleNamespace(seed=0, number=lambda metric: 1.0)
    figure = by_seed(tuple(Setting(label, (run,), number) for number in range(3)), ["elbo/test"], "deviation")
    figure.draw_without_rendering()  # warns, and then fails, where the axes have no height left
    (axis,) = figure.axes
    boxes = sorted((text.get_window_extent() for text in axis.get_yticklabels()), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 for below, above in zip(boxes, boxes[1:])) and len(boxes) == 3


def test_figures_are_svg_and_pdf_with_text_as_text(out):
    names = {path.stem for path in (out / "figures").glob("*.svg")}
    assert names == {path.stem for path in (out / "figures").glob("*.pdf")} and len(names) == 5
    svg = (out / "figures" / "digits-elbo-validation.svg").read_text()
    assert ">elbo/validation, nats</text>" in svg and "&lt;mi&gt;" in svg
    assert (out / "figures" / "digits-elbo-validation.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("far, scale", [(-5.0, "linear"), (-32.0, "symlog")])
def test_elbos_far_apart_stand_on_a_logarithmic_axis(far, scale):
    axis = Figure().subplots()
    axis.plot([far, 2.6, 2.0])
    spread_out(axis.yaxis, [far, 2.6, 2.0])
    assert axis.get_yscale() == scale and axis.get_xscale() == "linear"
