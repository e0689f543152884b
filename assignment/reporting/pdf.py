"""The report as a one-page PDF to hand in: pictures, curves, answers, graph and settings."""

import io
import logging
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from assignment.reporting import diagram
from common import files

PAPER_INCHES = 8.27, 11.69  # width and height of A4
MARGIN_INCHES = 0.55
GAP_INCHES = 0.22
TEXT_WIDTH_INCHES = PAPER_INCHES[0] - 2 * MARGIN_INCHES
MAX_PICTURES = 6  # pictures of the training
PLOTS_PER_ROW = 4
ROW_INCHES = 1.4  # height of a plot, and the maximum height of a row of pictures
MIN_GRAPH_INCHES = 2.2  # minimum height of the graph diagram
ANSWER_POINTS = 9, 8, 7, 6  # font sizes of the answers: the largest at which they fit is used
SETTING_POINTS = 5.5  # font size of the settings
MAX_VALUE_CHARACTERS = 22  # characters of a setting's value
SETTING_COLUMNS = 4  # columns of settings at the bottom of the page
LINE_SPACING = 1.35  # distance of two lines, in font sizes
MEASURING_POINTS = 100  # font size at which character widths are measured
BOLD_FACTOR = 1.15  # width of bold text relative to regular text
# A word of at most 60 characters, or one Chinese or Japanese character.
WORD = re.compile(r'\s*(?:[⺀-鿿豈-﫿＀-￯]|[^\s⺀-鿿豈-﫿＀-￯]{1,60})')
HEADING = re.compile('#+ *(.*)')
CUT_MARK = '… (the rest is in report.md)'


def plot_curve(axes, name: str, iterations: Sequence[int], values: Sequence[float]) -> None:
    """Plot one loss, with a logarithmic y axis if all values are positive.

    Args:
        axes: The Matplotlib axes to draw on.
        name: The name of the loss, which becomes the title.
        iterations: The iterations at which the loss was logged.
        values: The loss at these iterations.
    """
    axes.plot(iterations, values, marker='.')
    axes.set_title(name.replace('_', ' '), parse_math=False)
    axes.set(xlabel='iteration', yscale='log' if min(values) > 0 else 'linear')
    axes.grid(alpha=0.3)


class FontSet:
    """The installed fonts that are needed to show a text, Matplotlib's own DejaVu Sans first.

    Attributes:
        families: The names of the fonts.
        missing: The characters of the text that no installed font has.
    """

    def __init__(self, text: str):
        self.missing = {c for c in text if c.isprintable() and not c.isspace()}
        entries = [font for font in font_manager.fontManager.ttflist
                   if font.style == 'normal' and font.weight == 400 and not font.name.startswith('Last Resort')]
        self.families, self._fonts, self._widths = [], [], {}
        for entry in sorted(entries, key=lambda entry: entry.name != 'DejaVu Sans'):
            if self._fonts and not self.missing:
                break
            font = FT2Font(entry.fname)
            charmap = font.get_charmap()
            if not self._fonts or any(ord(c) in charmap for c in self.missing):
                font.set_size(MEASURING_POINTS, 72)
                self.families.append(entry.name)
                self._fonts.append((font, charmap))
                self.missing = {c for c in self.missing if ord(c) not in charmap}
        if self.missing:  # Matplotlib draws these as boxes from its font Last Resort, so measure those.
            last_resort = [font for font in font_manager.fontManager.ttflist if font.name.startswith('Last Resort')]
            for font in [FT2Font(entry.fname) for entry in last_resort]:
                font.set_size(MEASURING_POINTS, 72)
                self._fonts.append((font, font.get_charmap()))

    def width(self, text: str) -> float:
        """Return the width of a line of text in units of its font size."""
        return sum(self._widths[c] if c in self._widths else self._advance(c) for c in text)

    def _advance(self, c):
        """Measure and store the width of one character in units of the font size."""
        font = next((font for font, charmap in self._fonts if ord(c) in charmap), self._fonts[0][0])
        glyph = font.load_glyph(font.get_char_index(ord(c)))  # load_char fails if the font lacks the character.
        self._widths[c] = glyph.linearHoriAdvance / 65536 / MEASURING_POINTS
        return self._widths[c]


class Page:
    """A page that is filled from the top down; all lengths are in inches.

    Attributes:
        figure: The Matplotlib figure of the page.
        fonts: The fonts for all text.
        y: The distance from the lower edge of the paper to the lower end of what has been added.
    """

    def __init__(self, fonts: FontSet):
        self.figure = Figure(figsize=PAPER_INCHES)
        self.fonts = fonts
        self.y = PAPER_INCHES[1] - MARGIN_INCHES

    def axes(self, x: float, width: float, height: float):
        """Add Matplotlib axes whose upper edge is at `self.y` and whose left edge is `x` from the left margin."""
        return self.figure.add_axes([(MARGIN_INCHES + x) / PAPER_INCHES[0], (self.y - height) / PAPER_INCHES[1],
                                     width / PAPER_INCHES[0], height / PAPER_INCHES[1]])

    def line(self, text: str, size: float, x: float = 0., **style):
        """Write one line at `self.y` and move `self.y` below it.

        Args:
            text: The line.
            size: The font size, in points.
            x: The distance from the left margin.
            **style: Further arguments of `Figure.text`.

        Returns:
            The Matplotlib text.
        """
        self.y -= size * LINE_SPACING / 72
        return self.figure.text(
            (MARGIN_INCHES + x) / PAPER_INCHES[0],
            (self.y + size * (LINE_SPACING - 1) / 72) / PAPER_INCHES[1],
            text,
            fontsize=size,
            family=self.fonts.families,
            parse_math=False,
            **style,
        )

    def wrapped_lines(self, text: str, size: float) -> list[str]:
        """Break a text into lines that fit the page's width at a font size in points.

        Lines break at spaces, and between Chinese or Japanese characters, which have none.
        """
        lines = []
        for paragraph in text.splitlines():
            lines.append('')
            for word in WORD.findall(paragraph):
                if lines[-1] and self.fonts.width(lines[-1] + word) * size / 72 > TEXT_WIDTH_INCHES:
                    lines.append('')
                lines[-1] += word if lines[-1] else word.lstrip()
        return lines

    def images(self, pictures: Sequence[tuple[str, np.ndarray]], highest: float) -> None:
        """Add a row of pictures, as wide as the page unless the row would then be higher than `highest`.

        Args:
            pictures: Pairs of a label and an image, [H, W, 3], all of the same size.
            highest: The maximum height of the row.
        """
        gaps = (len(pictures) - 1) * GAP_INCHES / 2
        H, W = pictures[0][1].shape[:2]
        height = min(highest, (TEXT_WIDTH_INCHES - gaps) / len(pictures) * H / W)
        width = height * W / H
        left = (TEXT_WIDTH_INCHES - len(pictures) * width - gaps) / 2
        for i, (label, image) in enumerate(pictures):
            axes = self.axes(left + i * (width + GAP_INCHES / 2), width, height)
            axes.set_axis_off()
            axes.imshow(image, aspect='auto')
            axes.set_title(label, fontsize=6.5, pad=2)
        self.y -= height


def answers_of(text: str) -> list[tuple[str, str]]:
    """Split what the student wrote, as Markdown, into pairs of a heading (the question) and the text below it."""
    pairs = [['', '']]
    for line in text.strip().splitlines():
        if match := HEADING.fullmatch(line):
            pairs.append([match[1], ''])
        else:
            pairs[-1][1] += line.lstrip('> ') + '\n'
    return [(question, answer.strip()) for question, answer in pairs if question or answer.strip()]


def _write_answers(page, text, lowest):
    """Write the answers in the largest size of `ANSWER_POINTS` at which they end above the height `lowest`.

    At the smallest size, lines that do not fit are replaced by `CUT_MARK`.
    """
    pairs = answers_of(text)
    for size in ANSWER_POINTS:
        lines = [(line, style) for question, answer in pairs
                 for part, wider, style in ((question, BOLD_FACTOR, {'weight': 'bold'}), (answer + '\n ', 1, {}))
                 for line in page.wrapped_lines(part, wider * size)]
        capacity = int((page.y - lowest) * 72 / (size * LINE_SPACING))
        if len(lines) <= capacity:
            break
    else:
        lines = lines[:max(0, capacity - 1)] + [(CUT_MARK, {'style': 'italic'})]
    for line, style in lines:
        page.line(line, size, **style)


def _write_settings(page, settings):
    """Write the settings in columns at the bottom of the page, with long lists and values shortened."""
    rows = _count_rows(settings)
    page.y = top = MARGIN_INCHES + rows * SETTING_POINTS * LINE_SPACING / 72
    for i, (name, value) in enumerate(settings.items()):
        if i % rows == 0:
            page.y = top
        column, below = i // rows * TEXT_WIDTH_INCHES / SETTING_COLUMNS, page.y
        page.line(name, SETTING_POINTS, column, color='#777777')
        page.y = below
        listed = re.sub(r'[]["]', '', value).split(', ')
        page.line((value if value.startswith('{') else f'{listed[0]} … {listed[-1]}' if len(listed) > 2
                   else ', '.join(listed))[:MAX_VALUE_CHARACTERS], SETTING_POINTS, column + 0.92)


def _count_rows(settings):
    """Return the number of rows that the columns of settings need."""
    return -(-len(settings) // SETTING_COLUMNS)


def compose(title: str, subtitle: str, events, sheet: np.ndarray | None, answers: str) -> tuple[Figure, set[str]]:
    """Lay out the page.

    Args:
        title: The title.
        subtitle: The line below the title.
        events: The `report.Events` of the run.
        sheet: An image of content, style and result side by side, uint8 [H, W, 3], or None.
        answers: What the student wrote, as Markdown.

    Returns:
        The page, and the characters that no installed font has, which the page shows as boxes.
    """
    logging.getLogger('matplotlib.font_manager').setLevel(logging.ERROR)  # It warns about fonts without a bold face.
    fonts = FontSet(title + subtitle + answers)
    page = Page(fonts)
    page.line(title, 15, weight='bold')
    page.line(subtitle, 8.5, color='#444444')
    page.y -= GAP_INCHES
    if sheet is not None:
        page.images([('content, style, result', sheet)], ROW_INCHES)
        page.y -= GAP_INCHES
    if events.pictures:
        places = np.linspace(0, len(events.pictures) - 1, MAX_PICTURES).round().astype(int)
        page.images([(f'iteration {step}', iio.imread(io.BytesIO(jpeg)))
                     for step, jpeg in (events.pictures[i] for i in np.unique(places))], ROW_INCHES)
        page.y -= 1.6 * GAP_INCHES
    _plot_curves(page, list(events.curves.items())[:PLOTS_PER_ROW])
    foot = MARGIN_INCHES + _count_rows(events.settings) * SETTING_POINTS * LINE_SPACING / 72 + GAP_INCHES / 2
    _write_answers(page, answers, foot + MIN_GRAPH_INCHES + GAP_INCHES)
    page.y -= GAP_INCHES
    height = min(3.4, page.y - foot)
    page.y -= (page.y - foot - height) / 2
    diagram.draw_on(page.axes(0, TEXT_WIDTH_INCHES, height), events.graph, 6)
    _write_settings(page, events.settings)
    return page.figure, fonts.missing


def _plot_curves(page, curves):
    """Add a row of panels with one loss each."""
    pitch = (TEXT_WIDTH_INCHES + 0.35) / len(curves)
    for i, (name, points) in enumerate(curves):
        axes = page.axes(0.3 + i * pitch, pitch - 0.65, ROW_INCHES)
        plot_curve(axes, name, *points)
        axes.tick_params(labelsize=6)
        axes.tick_params(which='minor', labelsize=5)
        axes.title.set_fontsize(8)
        axes.xaxis.label.set_fontsize(7)
    page.y -= ROW_INCHES + 2 * GAP_INCHES


def write(path: Path, figure: Figure, title: str) -> None:
    """Write the page that `compose` returned as a PDF with this title in its metadata."""
    with files.atomic_write(path) as part, warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph .* missing')  # The caller reports these characters once.
        figure.savefig(part, metadata={'Title': title, 'CreationDate': None})
