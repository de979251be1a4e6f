"""Draws docs/figures/training.svg from benches/results/training.csv: training time per image by batch size.

    .venv/bin/python benches/chart.py

The same CSV gives the same bytes. Colors are based on Okabe and Ito's palette. The figure has a style sheet that replaces
them in a viewer that prefers a dark background.
"""

import io
import statistics
from math import log10

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "stitch", "svg.fonttype": "path", "font.size": 10})
import matplotlib.pyplot as plt  # noqa: E402
from results import read_latest, root  # noqa: E402

GRAY = "#59636e"
BACKGROUND = "#ffffff"
# What replaces a color on a dark background.
DARK = {
    BACKGROUND: "#0d1117",
    GRAY: "#a0a9b4",
    "#8c6d1f": "#d9b44a",
    "#007a59": "#2fc79c",
    "#0072b2": "#56b4e9",
    "#c25600": "#f0904c",
}
# Name, label, color, marker.
LINES = [
    ("candle", "candle", "#8c6d1f", "v"),
    ("notebook", "notebook.py", GRAY, "o"),
    ("PyTorch channels-last", "PyTorch, channels last", "#007a59", "s"),
    ("stitch", "stitch", "#0072b2", "o"),
    ("stitch --fast", "stitch --fast", "#c25600", "o"),
]
IMAGES = 60_000


def microseconds():
    """Returns the median training time per image by (threads, contender, batch size)."""
    values = {}
    for row in read_latest("training.csv"):
        if row["setting"].startswith("sweep"):
            key = int(row["threads"]), row["contender"], int(row["batch_size"])
            cost = 1e6 * float(row["train_seconds"]) / (float(row["epochs"]) * IMAGES)
            values.setdefault(key, []).append(cost)
    return {key: statistics.median(of) for key, of in values.items()}


def apart(ends, gap):
    """Returns the heights of the labels in log10, moved so that they do not overlap."""
    heights = sorted(ends)
    for _ in range(200):
        for i in range(len(heights) - 1):
            missing = gap - (heights[i + 1][0] - heights[i][0])
            if missing > 1e-9:
                heights[i] = (heights[i][0] - missing / 2, *heights[i][1:])
                heights[i + 1] = (heights[i + 1][0] + missing / 2, *heights[i + 1][1:])
    return heights


def style(axes, sizes, threads):
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlim(sizes[0] / 1.3, sizes[-1] * 1.3)
    axes.set_xlabel("batch size", color=GRAY)
    axes.set_title(f"{threads} thread{'s' if threads > 1 else ''}", color=GRAY, fontsize=11)
    axes.grid(color=GRAY, alpha=0.25, linewidth=0.6)
    axes.tick_params(colors=GRAY, length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def ticks(values):
    """Returns ticks (1, 2, 5, 10 …) in the range of the values."""
    steps = [step * 10**power for power in range(-1, 5) for step in (1, 2, 5)]
    inner = [step for step in steps if min(values) / 1.2 <= step <= max(values) * 1.2]
    return inner, [f"{step:g}" for step in inner]


def panel(axes, costs, threads, sizes):
    style(axes, sizes, threads)
    for name, label, color, marker in LINES:
        points = [(size, costs[threads, name, size]) for size in sizes if (threads, name, size) in costs]
        width = 2.4 if name.startswith("stitch") else 1.5
        axes.plot(*zip(*points), color=color, marker=marker, markersize=4.5, linewidth=width)


def label(axes, costs, threads, sizes, gap):
    """Writes the names at the right ends of the lines."""
    measured = [line for line in LINES if (threads, line[0], sizes[-1]) in costs]
    ends = [(log10(costs[threads, name, sizes[-1]]), text, color) for name, text, color, _ in measured]
    for height, text, color in apart(ends, gap):
        weight = "bold" if text.startswith("stitch") else "normal"
        at = (sizes[-1] * 1.25, 10**height)
        axes.text(*at, text, color=color, va="center", fontsize=9.5, fontweight=weight, clip_on=False)


def with_dark_colors(svg):
    """Adds the style sheet. matplotlib sets colors in style attributes, which only `!important` overrides."""
    rules = "".join(
        f'[style*="{property}: {light}"]{{{property}:{dark}!important}}'
        for light, dark in DARK.items()
        for property in ("fill", "stroke")
    )
    style = f"<style>@media (prefers-color-scheme:dark){{{rules}}}</style>\n"
    missing = [light for light in DARK if light not in svg]
    assert not missing, f"the figure does not have the colors {missing}"
    return svg.replace(" <metadata>", f" {style} <metadata>", 1)


def main():
    costs = microseconds()
    every = sorted({threads for threads, _, _ in costs})
    sizes = sorted({size for _, _, size in costs})
    figure, panels = plt.subplots(1, len(every), figsize=(10.5, 4.6), sharey=True, squeeze=False)
    for axes, threads in zip(panels[0], every):
        panel(axes, costs, threads, sizes)
    panels[0][0].set_yticks(*ticks(costs.values()))
    panels[0][0].set_ylabel("training, µs per image", color=GRAY)
    low, high = panels[0][0].get_ylim()
    for axes, threads in zip(panels[0], every):
        label(axes, costs, threads, sizes, 0.055 * log10(high / low))
    figure.subplots_adjust(left=0.07, right=0.84, top=0.92, bottom=0.12, wspace=0.5)
    path = root / "docs/figures/training.svg"
    path.parent.mkdir(exist_ok=True)
    figure.set_facecolor(BACKGROUND)
    for axes in panels[0]:
        axes.set_facecolor("none")
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    path.write_text(with_dark_colors(written.getvalue()))
    print(f"{path.relative_to(root)}")


main()
