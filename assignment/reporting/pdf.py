"""The report as one page to hand in: pictures, curves, answers, graph and settings, as a PDF."""

import io
import logging
import re
import warnings

import imageio.v3 as iio
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from assignment.reporting import diagram
from common import files

PAPER_INCHES = 8.27, 11.69  # inches, A4
MARGIN_INCHES = 0.55
GAP_INCHES = 0.22
TEXT_WIDTH_INCHES = PAPER_INCHES[0] - 2 * MARGIN_INCHES
MAX_PICTURES = 6  # of the training
PLOTS_PER_ROW = 4  # in a row
ROW_INCHES = 1.4  # a plot, and a row of pictures at most
MIN_GRAPH_INCHES = 2.2  # the graph
ANSWER_POINTS = 9, 8, 7, 6  # points, of the answers: the largest at which they fit
SETTING_POINTS = 5.5  # points
MAX_VALUE_CHARACTERS = 22  # characters of a setting's value
SETTING_COLUMNS = 4  # of settings
LINE_SPACING = 1.35  # from a line to the next, in sizes
MEASURING_POINTS = 100  # points at which letters are measured
BOLD_FACTOR = 1.15  # times as wide
WORD = re.compile(r'\s*(?:[⺀-鿿豈-﫿＀-￯]|[^\s⺀-鿿豈-﫿＀-￯]{1,60})')  # or a character of Chinese or Japanese
HEADING = re.compile('#+ *(.*)')
CUT_MARK = '… (the rest is in report.md)'
logging.getLogger('matplotlib.font_manager').setLevel(logging.ERROR)  # it tells of every font without a bold face


def plot_curve(axes, name, iterations, values):
    """Plot one loss, on a log axis where it can be."""
    axes.plot(iterations, values, marker='.')
    axes.set_title(name.replace('_', ' '), parse_math=False)
    axes.set(xlabel='iteration', yscale='log' if min(values) > 0 else 'linear')
    axes.grid(alpha=0.3)


class Letters:
    """The fonts, Matplotlib's own first, that have the characters of a text.

    families: their names; missing: the characters that no font here has
    """

    def __init__(self, text):
        self.missing = {c for c in text if c.isprintable() and not c.isspace()}
        entries = [font for font in font_manager.fontManager.ttflist
                   if font.style == 'normal' and font.weight == 400 and not font.name.startswith('Last Resort')]
        self.families, self._fonts, self._widths = [], [], {}
        for entry in sorted(entries, key=lambda entry: entry.name != 'DejaVu Sans'):
            if self._fonts and not self.missing:
                break
            font = FT2Font(entry.fname)
            has = font.get_charmap()
            if not self._fonts or any(ord(c) in has for c in self.missing):
                font.set_size(MEASURING_POINTS, 72)
                self.families.append(entry.name)
                self._fonts.append((font, has))
                self.missing = {c for c in self.missing if ord(c) not in has}
        if self.missing:  # Matplotlib draws these as boxes, with a font of its own
            last_resort = [font for font in font_manager.fontManager.ttflist if font.name.startswith('Last Resort')]
            for font in [FT2Font(entry.fname) for entry in last_resort]:
                font.set_size(MEASURING_POINTS, 72)
                self._fonts.append((font, font.get_charmap()))

    def width(self, text):
        """How wide a line is, in sizes of its letters."""
        return sum(self._widths[c] if c in self._widths else self._advance(c) for c in text)

    def _advance(self, c):
        font = next((font for font, has in self._fonts if ord(c) in has), self._fonts[0][0])
        glyph = font.load_glyph(font.get_char_index(ord(c)))  # load_char fails where the font lacks the character
        self._widths[c] = glyph.linearHoriAdvance / 65536 / MEASURING_POINTS
        return self._widths[c]


class Page:
    """A page that is filled from the top down; lengths are inches."""

    def __init__(self, letters):
        self.figure = Figure(figsize=PAPER_INCHES)
        self.letters = letters
        self.y = PAPER_INCHES[1] - MARGIN_INCHES

    def axes(self, x, width, height):
        """Axes whose upper edge is where the page is filled to, x from the left margin."""
        return self.figure.add_axes([(MARGIN_INCHES + x) / PAPER_INCHES[0], (self.y - height) / PAPER_INCHES[1],
                                     width / PAPER_INCHES[0], height / PAPER_INCHES[1]])

    def line(self, text, size, x=0., **style):
        """Write one line and go on below it."""
        self.y -= size * LINE_SPACING / 72
        return self.figure.text(
            (MARGIN_INCHES + x) / PAPER_INCHES[0],
            (self.y + size * (LINE_SPACING - 1) / 72) / PAPER_INCHES[1],
            text,
            fontsize=size,
            family=self.letters.families,
            parse_math=False,
            **style,
        )

    def wrapped_lines(self, text, size):
        """The text in lines of the page's width: broken at spaces, and between characters of scripts without."""
        lines = []
        for paragraph in text.splitlines():
            lines.append('')
            for word in WORD.findall(paragraph):
                if lines[-1] and self.letters.width(lines[-1] + word) * size / 72 > TEXT_WIDTH_INCHES:
                    lines.append('')
                lines[-1] += word if lines[-1] else word.lstrip()
        return lines

    def images(self, pictures, highest):
        """A row of (label, image [H, W, 3]), all of one size, as wide as the page unless that is higher."""
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


def answers_of(text):
    """The (question, answer) pairs of what the student wrote: a heading and what follows."""
    pairs = [['', '']]
    for line in text.strip().splitlines():
        if match := HEADING.fullmatch(line):
            pairs.append([match[1], ''])
        else:
            pairs[-1][1] += line.lstrip('> ') + '\n'
    return [(question, answer.strip()) for question, answer in pairs if question or answer.strip()]


def _answers(page, text, lowest):
    """Write the answers, in the largest of ANSWER_POINTS that leaves the page free below `lowest`."""
    pairs = answers_of(text)
    for size in ANSWER_POINTS:
        lines = [(line, style) for question, answer in pairs
                 for part, wider, style in ((question, BOLD_FACTOR, {'weight': 'bold'}), (answer + '\n ', 1, {}))
                 for line in page.wrapped_lines(part, wider * size)]
        room = int((page.y - lowest) * 72 / (size * LINE_SPACING))
        if len(lines) <= room:
            break
    else:
        lines = lines[:max(0, room - 1)] + [(CUT_MARK, {'style': 'italic'})]
    for line, style in lines:
        page.line(line, size, **style)


def _settings(page, settings):
    """The settings in columns at the foot of the page."""
    rows = _rows(settings)
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


def _rows(settings):
    return -(-len(settings) // SETTING_COLUMNS)


def compose(title, told, events, sheet, answers):
    """The page as a figure, and the characters that no font here has, and that are boxes therefore.

    told: a line below the title; events: a `report.Events`; sheet: an image [H, W, 3] of content, style and result, or
    None; answers: what the student wrote, as Markdown
    """
    letters = Letters(title + told + answers)
    page = Page(letters)
    page.line(title, 15, weight='bold')
    page.line(told, 8.5, color='#444444')
    page.y -= GAP_INCHES
    if sheet is not None:
        page.images([('content, style, result', sheet)], ROW_INCHES)
        page.y -= GAP_INCHES
    if events.pictures:
        places = np.linspace(0, len(events.pictures) - 1, MAX_PICTURES).round().astype(int)
        page.images([(f'iteration {step}', iio.imread(io.BytesIO(jpeg)))
                     for step, jpeg in (events.pictures[i] for i in np.unique(places))], ROW_INCHES)
        page.y -= 1.6 * GAP_INCHES
    _curves(page, list(events.curves.items())[:PLOTS_PER_ROW])
    foot = MARGIN_INCHES + _rows(events.settings) * SETTING_POINTS * LINE_SPACING / 72 + GAP_INCHES / 2
    _answers(page, answers, foot + MIN_GRAPH_INCHES + GAP_INCHES)
    page.y -= GAP_INCHES
    height = min(3.4, page.y - foot)
    page.y -= (page.y - foot - height) / 2
    diagram.draw_on(page.axes(0, TEXT_WIDTH_INCHES, height), events.graph, 6)
    _settings(page, events.settings)
    return page.figure, letters.missing


def _curves(page, curves):
    """A row of panels."""
    pitch = (TEXT_WIDTH_INCHES + 0.35) / len(curves)
    for i, (name, points) in enumerate(curves):
        axes = page.axes(0.3 + i * pitch, pitch - 0.65, ROW_INCHES)
        plot_curve(axes, name, *points)
        axes.tick_params(labelsize=6)
        axes.tick_params(which='minor', labelsize=5)
        axes.title.set_fontsize(8)
        axes.xaxis.label.set_fontsize(7)
    page.y -= ROW_INCHES + 2 * GAP_INCHES


def write(path, figure, title):
    """Write a page that is composed."""
    with files.atomic_write(path) as part, warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'Glyph .* missing')  # told by the caller, once
        figure.savefig(part, metadata={'Title': title, 'CreationDate': None})
