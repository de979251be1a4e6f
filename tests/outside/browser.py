"""Opens a page of stitch in Chromium, as phones, a tablet, a desktop and a printer show it, in light and dark.

    browser.py PAGE [RUN ...]

Nothing may be fetched, printed on the console, wider than the screen, without a text alternative, or hard to read;
tables are complete or can be scrolled, which can be seen; the contents lead to every section; the figures say what the
CSV files of the runs say. With SHOTS=DIR it saves screenshots."""

import csv
import os
import pathlib
import shutil
import sys

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

PAGE, RUNS = pathlib.Path(sys.argv[1]).resolve(), [pathlib.Path(run) for run in sys.argv[2:]]
SHOTS = os.environ.get("SHOTS")
WIDTHS = (360, 390, 768, 1280)

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


# Tables and figures that are cut off, or in a region that scrolls and is not marked as one.
CUT_OFF = """() => {
  const problems = [];
  const isOverflowing = it => it.scrollWidth > it.clientWidth + 1;
  for (const it of document.querySelectorAll('main table, main figure svg')) {
    const box = it.getBoundingClientRect();
    if (box.width === 0) continue;
    let region = it.parentElement;
    while (region !== document.body && !isOverflowing(region)) region = region.parentElement;
    const name = it.tagName + ' in ' + (it.closest('section')?.id ?? 'main') + ': ';
    if (region === document.body) {
      if (box.left < 0 || box.right > innerWidth + 1) problems.push(name + 'cut off at ' + box.right);
      continue;
    }
    if (region.tabIndex !== 0 || region.getAttribute('role') !== 'region' || !region.getAttribute('aria-label'))
      problems.push(name + 'scrolls in an element that is not a focusable region with a label');
    if (getComputedStyle(region).overflowX !== 'auto') problems.push(name + 'is hidden in part');
    if (!getComputedStyle(region).maskImage.includes('rgba(0, 0, 0, 0)')) problems.push(name + 'does not fade at the edge');
    region.scrollLeft = region.scrollWidth;
    const right = region.getBoundingClientRect().right;
    if (it.getBoundingClientRect().right > right + 1) problems.push(name + 'cannot be scrolled to its end');
    region.scrollLeft = 0;
  }
  return problems;
}"""

# The fonts of the page's text and of the texts in figures.
TYPEFACES = """() => [...new Set([document.body, ...document.querySelectorAll('figure svg, figure svg text')]
    .map(it => getComputedStyle(it).fontFamily))]"""

# What is at the top of the part of the target that can be seen: itself, unless the contents cover it.
LANDED = """id => {
  const target = document.getElementById(id);
  const heading = target.matches('section') ? target.querySelector('h2') : target;
  const box = heading.getBoundingClientRect();
  const found = document.elementFromPoint(box.left + 5, box.top + box.height / 2);
  return found !== null && (found === heading || heading.contains(found));
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


def check_contents(page, where):
    """The contents are in sight at both ends of the page, name every section, and their links lead there."""
    contents = page.locator("nav.contents")
    for end in ("0", "document.documentElement.scrollHeight"):
        page.evaluate(f"window.scrollTo(0, {end})")
        box = contents.bounding_box()
        assert box and box["y"] > -1 and box["y"] + 30 < 900, (where, end, box)
        # At most a tenth of a small screen.
        assert box["width"] < 300 or box["height"] < 90, (where, box)
    sections = page.evaluate("[...document.querySelectorAll('main > section')].map(it => it.id)")
    links = contents.locator("a:visible")
    targets = [link.get_attribute("href")[1:] for link in links.all()]
    assert [it for it in targets if it in sections] == sections, (where, sections, targets)
    for link, target in zip(links.all(), targets, strict=True):
        link.focus()
        page.keyboard.press("Enter")
        assert page.evaluate(LANDED, target), f"{where}: {target} is not in sight"
    page.evaluate("window.scrollTo(0, 0)")


def check_order(page, width, where):
    """In a report of runs: parity, the comparison, the figures of all runs, then images."""
    if not page.locator("#parity").count():
        return
    names = page.evaluate("[...document.querySelectorAll('main > section')].map(it => it.id)")
    runs = [name for name in names if name.startswith("run-") and not name.endswith("-images")]
    images = [name for name in names if name.endswith("-images")]
    assert names[:2] == ["parity", "result"] and names[2:2 + len(runs)] == runs, (where, names)
    assert len(runs) == len(RUNS) and names[-1] == "settings", (where, names)
    assert names[-1 - len(images):-1] == images, (where, names)
    after = page.evaluate("""() => {
        const image = document.querySelector('main img');
        return [...document.querySelectorAll('figure, #parity, #result')]
            .filter(it => image && image.compareDocumentPosition(it) & Node.DOCUMENT_POSITION_FOLLOWING).length
    }""")
    assert after == 0, f"{where}: {after} figures after the first image"
    assert "make parity" in page.locator("#parity pre").first.inner_text(), where
    top = page.locator("#parity h2").bounding_box()["y"]
    assert width < 700 or top < 900, f"{where}: parity begins at {top} px"


def check(page, width, scheme, problems):
    page.goto(PAGE.as_uri())
    page.wait_for_load_state("networkidle")
    where = f"{width} px, {scheme}"
    assert not problems, (where, problems)
    for is_open in ("true", "false"):
        page.evaluate(f"document.querySelectorAll('details').forEach(it => {{ it.open = {is_open}; }})")
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{where}: the page is {wide} px wide"
        cut_off = page.evaluate(CUT_OFF)
        assert not cut_off, (where, cut_off)
    typefaces = page.evaluate(TYPEFACES)
    assert len(typefaces) == 1, (where, typefaces)
    check_order(page, width, where)
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
    if scheme == "light":
        check_contents(page, where)
    check_links(page)
    if SHOTS:
        page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
        page.screenshot(path=f"{SHOTS}/{PAGE.parent.name}-{width}-{scheme}.png", full_page=True)


with sync_playwright() as playwright:
    # As root Chromium runs without its sandbox only.
    sandbox = [] if os.getuid() else ["--no-sandbox"]
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=sandbox)
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            # Without motion, a link leads to its target at once.
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme,
                                    reduced_motion="reduce")
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
