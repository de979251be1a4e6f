"""Opens a page of stitch in Chromium, as a telephone, a desktop and a printer show it, in light and dark.

    browser.py PAGE [RUN ...]

Nothing may be fetched, said on the console, wider than the screen, without words for those who do not see
it, or hard to read; the figures must say what the CSV files of the runs say. With SHOTS=DIR it leaves
pictures of what it saw."""

import csv
import os
import pathlib
import shutil
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

PAGE, RUNS = pathlib.Path(sys.argv[1]).resolve(), [pathlib.Path(run) for run in sys.argv[2:]]
SHOTS = os.environ.get("SHOTS")

# The least contrast of a text in a figure, and which: axe looks at HTML alone. What is behind a text is the
# last shape before it that covers its middle.
CONTRAST = """() => {
  const light = colour => {
    const parts = colour.match(/[\\d.]+/g).map(Number).slice(0, 3).map(it => it / 255)
      .map(it => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  let least = [21, ''];
  for (const svg of document.querySelectorAll('figure svg')) {
    if (svg.getBoundingClientRect().width === 0) continue;
    const shapes = [];
    for (const it of svg.querySelectorAll('rect, polygon, circle, text')) {
      const box = it.getBoundingClientRect(), fill = getComputedStyle(it).fill;
      if (it.tagName !== 'text') { if (fill !== 'none') shapes.push([box, fill]); continue; }
      const x = box.left + box.width / 2, y = box.top + box.height / 2;
      const behind = shapes.filter(([b]) => b.left <= x && x <= b.right && b.top <= y && y <= b.bottom);
      const ground = behind.length ? behind[behind.length - 1][1] : getComputedStyle(document.body).backgroundColor;
      const [a, b] = [light(fill), light(ground)];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < least[0]) least = [contrast, it.textContent + ' in ' + fill + ' on ' + ground];
    }
  }
  return least;
}"""


def column(path, name):
    with open(path, newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def figures(page):
    """The texts of every figure that is shown, by what it says it is."""
    return page.evaluate("""() => [...document.querySelectorAll('figure svg')]
        .filter(svg => svg.getBoundingClientRect().width > 0)
        .map(svg => [svg.getAttribute('aria-label'), [...svg.querySelectorAll('text')].map(t => t.textContent)])""")


def check_numbers(page):
    """The figures and tables say what the CSV files say."""
    matrices = [texts for label, texts in figures(page) if label.startswith("Confusion matrix")]
    losses = [texts for label, texts in figures(page) if label.startswith("Loss by epoch")]
    assert (len(matrices), len(losses)) == (len(RUNS), len(RUNS)), figures(page)
    counts = page.evaluate("""() => [...document.querySelectorAll('table.counts')].map(table =>
        [...table.querySelectorAll('tbody td')].map(cell => cell.textContent))""")
    for run, matrix, loss, cells in zip(RUNS, matrices, losses, counts, strict=True):
        with open(run / "confusion_matrix.csv", newline="") as file:
            header, *rows = csv.reader(file)
        wanted = [cell for row in rows for cell in row[1:]]
        assert cells == wanted, (run, cells)
        for name in header[1:]:
            assert matrix.count(name) == 2, (run, name, matrix)
        if matrix[0].startswith("Confusion matrix, images"):
            # The diagonal is drawn after the rest of its row, as the figure comes.
            shown = [text for text in matrix if text.isdigit()]
            assert sorted(shown) == sorted(wanted), (run, shown)
        last = float(column(run / "history.csv", "loss")[-1])
        assert any(f"{last:.4f}" in text for text in loss), (run, last, loss)


def check_links(page):
    """In a page of stitch parity, a cell of the matrix opens the numbers of its tensor, by keyboard."""
    cells = page.locator("table.matrix a[href^='#tensor']")
    if cells.count():
        cells.first.focus()
        page.keyboard.press("Enter")
        numbers = page.locator(cells.first.get_attribute("href"))
        assert numbers.is_visible(), cells.first.get_attribute("href")


def check(page, width, scheme, problems):
    page.goto(PAGE.as_uri())
    page.wait_for_load_state("networkidle")
    where = f"{width} px, {scheme}"
    assert not problems, (where, problems)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"{where}: the page is {wide} px wide"
    images = page.evaluate("""() => [...document.images].map(i => [i.complete && i.naturalWidth > 0, i.alt])""")
    assert all(loaded and alt.strip() for loaded, alt in images), (where, images)
    assert all(label for label, _ in figures(page)), where
    violations = Axe().run(page).response["violations"]
    assert not violations, (where, [(it["id"], [n["html"][:200] for n in it["nodes"]]) for it in violations])
    contrast, what = page.evaluate(CONTRAST)
    assert contrast >= 4.5, f"{where}: a contrast of {contrast:.2f}: {what}"
    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.textContent")
    assert first == "Skip to the content", (where, first)
    if RUNS and width > 700:
        check_numbers(page)
    check_links(page)
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{PAGE.parent.name}-{width}-{scheme}.png", full_page=True)


with sync_playwright() as playwright:
    # As root Chromium runs without its sandbox only.
    sandbox = [] if os.getuid() else ["--no-sandbox"]
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=sandbox)
    for width in (360, 1280):
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
            problems = []
            page.on("console", lambda message: problems.append(message.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("request", lambda request: request.url.startswith(("data:", PAGE.as_uri()))
                    or problems.append(request.url))
            check(page, width, scheme, problems)
            page.close()
    page = browser.new_page(viewport={"width": 680, "height": 1000})
    page.goto(PAGE.as_uri())
    page.emulate_media(media="print")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 680, f"for print the page is {wide} px wide"
    browser.close()
