"""Plots of what the panels' queries returned, laid out as the panels are. It is not what Grafana draws."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from tests.dashboards_check.asking import STEP, Answer, Window
from tests.dashboards_check.prometheus import Series
from tests.dashboards_check.rules import COLUMNS, Json

WIDTH_IN, ROW_IN, HEAD_IN, DPI = 15.0, 0.30, 0.75, 88
COLORS = 96
"""Of the picture: more are not seen, and cost bytes."""
INK, FAINT, EDGE = "#1f2430", "#6b7280", "#d5d9e0"
NAMED = {"green": "#2e8b57", "yellow": "#c98a00", "red": "#c0392b", "blue": "#2f6fb5"}
LINES = ("#2f6fb5", "#d9822b", "#2e8b57", "#b03a5b", "#7b57b2", "#1f9c9c", "#8a6d3b", "#5c6b7a", "#c2649a", "#7f9c2f")
MOST_SERIES = 8
"""In a legend."""


def draw(board: Json, answers: Sequence[Answer], window: Window, file: Path) -> None:
    """Write the picture of a dashboard as PNG."""
    rows = max(each["gridPos"]["y"] + each["gridPos"]["h"] for each in board["panels"])
    height = HEAD_IN + ROW_IN * rows
    with mpl.rc_context({"font.size": 8, "font.family": "DejaVu Sans", "text.color": INK, "axes.edgecolor": EDGE}):
        figure = Figure(figsize=(WIDTH_IN, height), dpi=DPI, facecolor="#f4f5f8")
        figure.text(
            0.008, 1 - 0.26 / height, f"{board['title']}   ·   data preview, not Grafana", size=13, weight="bold"
        )
        figure.text(
            0.008,
            1 - 0.52 / height,
            f"{window.end - window.start:.0f} s of a demo under load, in which a Lavalink and a voice node are killed",
            size=9,
            color=FAINT,
        )
        for panel in board["panels"]:
            _place(figure, panel, [each for each in answers if each.panel is panel], window, height)
        raw = io.BytesIO()
        figure.savefig(raw, format="png")
    Image.open(raw).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(file, optimize=True)


def _place(figure: Figure, panel: Json, answers: Sequence[Answer], window: Window, height: float) -> None:
    at = panel["gridPos"]
    left, width = at["x"] / COLUMNS, at["w"] / COLUMNS
    top = 1 - (HEAD_IN + ROW_IN * at["y"]) / height
    tall = ROW_IN * at["h"] / height
    if panel["type"] == "row":
        figure.text(left + 0.008, top - tall * 0.7, panel["title"], size=10, weight="bold", color=INK)
        return
    card = figure.add_axes((left + 0.004, top - tall + 0.06 / height, width - 0.008, tall - 0.06 / height))
    card.set(xticks=[], yticks=[], facecolor="white")
    for spine in card.spines.values():
        spine.set_color(EDGE)
    inch = height * tall
    card.text(
        0.09 / (WIDTH_IN * width),
        1 - 0.10 / inch,
        panel["title"],
        size=8.5,
        weight="bold",
        va="top",
        transform=card.transAxes,
    )
    if not any(answer.data for answer in answers):
        card.text(0.5, 0.45, "no data", color=FAINT, ha="center", transform=card.transAxes)
        return
    {"timeseries": _lines, "stat": _stat, "bargauge": _bars}[panel["type"]](figure, card, panel, answers, window)


# Kinds of panels.


def _lines(figure: Figure, card: Axes, panel: Json, answers: Sequence[Answer], window: Window) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    box = card.get_position()
    inches = figure.get_size_inches()
    named = [(_legend(answer, series), series) for answer in answers for series in answer.series]
    legend_in = 0.17 * -(-min(len(named), MOST_SERIES) // _per_line(named, box.width * inches[0])) + 0.06
    left, right = 0.50 / inches[0], 0.10 / inches[0]
    bottom, top = (0.20 + legend_in) / inches[1], 0.30 / inches[1]
    axes = figure.add_axes((box.x0 + left, box.y0 + bottom, box.width - left - right, box.height - bottom - top))
    stacked = defaults["custom"].get("stacking", {}).get("mode") == "normal"
    highest = _stack(axes, named, window) if stacked else _draw(axes, named, window)
    _limits(axes, defaults["thresholds"]["steps"], highest, share=defaults["unit"] == "percentunit")
    axes.set_xlim(0, window.end - window.start)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s" if value else ""))
    _scale(axes, defaults["unit"])
    axes.tick_params(colors=FAINT, labelsize=7, length=0, pad=3)
    axes.grid(axis="y", color="#eceef2", linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[:MOST_SERIES],
        labels[:MOST_SERIES],
        loc="upper left",
        bbox_to_anchor=(box.x0 + 0.06 / inches[0], box.y0 + (legend_in + 0.04) / inches[1]),
        bbox_transform=figure.transFigure,
        ncols=_per_line(named, box.width * inches[0]),
        fontsize=7,
        frameon=False,
        borderpad=0,
        handlelength=1.0,
        columnspacing=1.0,
        labelspacing=0.25,
        handletextpad=0.4,
    )


def _scale(axes: Axes, unit: str) -> None:
    """A few round values, with their unit."""
    low, high = axes.get_ylim()
    step = {"bytes": 2.0**20}.get(unit, 1.0)
    ticks = MaxNLocator(4, integer=unit == "short" and high - low >= 3).tick_values(low / step, high / step)
    axes.set_yticks([tick * step for tick in ticks if low <= tick * step <= high])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, unit, None, high - low)))


def _draw(axes: Axes, named: Sequence[tuple[str, Series]], window: Window) -> float:
    for number, (label, series) in enumerate(named):
        color = LINES[number % len(LINES)]
        for piece, (x, y) in enumerate(_pieces(series, window.start)):
            shape = "-" if len(x) > 1 else "o"
            axes.plot(x, y, shape, color=color, linewidth=1.4, markersize=3, label="" if piece else label)
    return max(max(series.values) for _, series in named)


def _pieces(series: Series, start: float) -> Iterator[tuple[list[float], list[float]]]:
    """The parts of a line between which there is nothing."""
    x: list[float] = []
    y: list[float] = []
    for time, value in zip(series.times, series.values, strict=True):
        if x and time - start - x[-1] > 1.5 * STEP:
            yield x, y
            x, y = [], []
        x.append(time - start)
        y.append(value)
    yield x, y


def _stack(axes: Axes, named: Sequence[tuple[str, Series]], window: Window) -> float:
    times = sorted({time for _, series in named for time in series.times})
    heights = []
    for _, series in named:
        known = dict(zip(series.times, series.values, strict=True))
        heights.append([known.get(time, 0.0) for time in times])
    x = [time - window.start for time in times]
    colors = [LINES[number % len(LINES)] for number in range(len(named))]
    axes.stackplot(x, heights, labels=[label for label, _ in named], colors=colors, alpha=0.75, linewidth=0)
    return max((sum(column) for column in zip(*heights, strict=True)), default=1.0)


def _limits(axes: Axes, steps: Sequence[Json], highest: float, *, share: bool) -> None:
    """The thresholds as dashed lines, where they are near enough to be seen without flattening the figure."""
    low, high = axes.get_ylim()
    near = [step for step in steps[1:] if step["value"] <= max(highest, 0.001) * 4]
    for step in near:
        axes.axhline(step["value"], color=NAMED[step["color"]], linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    high = max([high, *(1.05 * step["value"] for step in near)])
    if share and low > 0.5:  # what is nearly all of it: the rest is to be seen
        axes.set_ylim(min([low, 0.95, *(step["value"] - 0.005 for step in near)]), 1.0025)
    else:
        axes.set_ylim(0, high if highest > 0 else 1)


def _stat(figure: Figure, card: Axes, panel: Json, answers: Sequence[Answer], window: Window) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    words = {
        float(value): told["text"] for each in defaults.get("mappings", []) for value, told in each["options"].items()
    }
    figures = [(_legend(answer, series), series.values[-1]) for answer in answers for series in answer.series]
    for number, (label, value) in enumerate(figures):
        x = (number + 0.5) / len(figures)
        told = words.get(value) or shown(value, defaults["unit"], defaults.get("decimals"))
        color = NAMED[_colour(value, defaults["thresholds"]["steps"])]
        size = 20 if len(figures) == 1 else 15
        card.text(
            x, 0.42, told, size=size, weight="bold", color=color, ha="center", va="center", transform=card.transAxes
        )
        if len(figures) > 1:
            card.text(
                x, 0.14, _short(label, 26), size=7, color=FAINT, ha="center", va="center", transform=card.transAxes
            )


def _bars(figure: Figure, card: Axes, panel: Json, answers: Sequence[Answer], window: Window) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    figures = [(_legend(answer, series), series.values[-1]) for answer in answers for series in answer.series]
    box, inches = card.get_position(), figure.get_size_inches()
    longest = max((len(_short(label, 24)) for label, _ in figures), default=4)
    left, right = (0.14 + 0.062 * longest) / inches[0], 0.55 / inches[0]
    bottom, top = 0.10 / inches[1], 0.32 / inches[1]
    axes = figure.add_axes((box.x0 + left, box.y0 + bottom, box.width - left - right, box.height - bottom - top))
    places = range(len(figures))
    colors = [NAMED[_colour(value, defaults["thresholds"]["steps"])] for _, value in figures]
    axes.barh(places, [value for _, value in figures], color=colors, height=0.62, alpha=0.85)
    axes.set_yticks(places, [_short(label, 24) for label, _ in figures], fontsize=7)
    axes.set_ylim(len(figures) - 0.4, -0.6)
    axes.set_xlim(0, max((value for _, value in figures), default=0) or 1)
    for place, (_, value) in enumerate(figures):
        told = shown(value, defaults["unit"], defaults.get("decimals"))
        axes.annotate(
            told, (value, place), (4, 0), textcoords="offset points", va="center", size=7, annotation_clip=False
        )
    axes.tick_params(length=0)
    axes.set_xticks([])
    for side, spine in axes.spines.items():
        spine.set_visible(side == "left")


# Words.


def _legend(answer: Answer, series: Series) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: series.labels.get(found[1], ""), answer.target["legendFormat"])


def _per_line(named: Sequence[tuple[str, Series]], inches: float) -> int:
    longest = max((len(label) for label, _ in named), default=1)
    return max(1, min(len(named), int((inches - 0.1) / (0.34 + 0.058 * longest))))


def _short(label: str, most: int) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"


def _colour(value: float, steps: Sequence[Json]) -> str:
    colour: str = steps[0]["color"]
    for step in steps[1:]:
        if value >= step["value"]:
            colour = step["color"]
    return colour


def shown(value: float, unit: str, decimals: int | None = None, span: float | None = None) -> str:
    """A value with its unit, as short as it can be; ``span`` is what the whole axis has, which says how exact."""
    size = abs(value) if span is None else span
    if unit == "percentunit":
        places = decimals if decimals is not None else 0 if size >= 0.1 else 1 if size >= 0.01 else 2
        return f"{100 * value:.{places}f} %" if value else "0 %"
    if unit == "s":
        if size < 1:
            return f"{1000 * value:.{0 if size >= 0.01 else 1}f} ms" if value else "0"
        return f"{value:.{decimals if decimals is not None else 0 if size >= 10 else 1}f} s"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    suffix = {"cps": "/s", "reqps": "/s"}.get(unit, "")
    if decimals is not None:
        return f"{value:,.{decimals}f}{suffix}"
    return f"{value:,.{0 if size >= 10 or float(value).is_integer() else 1 if size >= 2 else 2}f}{suffix}"
