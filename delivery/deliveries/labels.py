"""Labels as PDF: an A6 page for each delivery, or four on an A4 sheet.

DejaVu Sans has the letters of Latin, Cyrillic, Greek and some other scripts, but none of Chinese, Japanese, Korean,
Thai or the scripts of India: a box stands for each. Arabic and Hebrew are joined and turned; of
Urdu's own letters it lacks some, and letters of Pashto, Sindhi and Kurdish for which Unicode has no joined forms stand
alone.

Every line begins at the left, Arabic and Hebrew ones too: an address is one block, and its last line, the country's
code, is Latin everywhere.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from reportlab.graphics.barcode.code128 import Code128
from reportlab.graphics.barcode.qr import QrCode
from reportlab.lib.pagesizes import A4, A6
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from delivery.deliveries.turning import base_of, joined, turned

SIZES = {"a6": A6, "a4": A4}
_WIDTH, _HEIGHT = A6
_MARGIN, _GAP = 6 * mm, 1.25
_TEXT, _BOLD = "DejaVuSansCondensed", "DejaVuSansCondensed-Bold"
_CAPITAL = 0.73  # the height of its capitals, of the size
_FONTS = Path(__file__).parent / "fonts"
_LINE = _WIDTH - 2 * _MARGIN
_QR = 30 * mm
_TEST_MARK = "TEST"  # nobody is to carry it
# A bar of 0.33 mm is what GS1 calls the nominal width: cheap scanners read it from thermal printers.
_BAR, _BAR_HEIGHT = 0.33 * mm, 18 * mm


def draw(rows: Sequence[Any], *, size: str, company: str, base_url: str) -> bytes:
    """Return a PDF with a label for each delivery, in their order; the same bytes for the same deliveries.

    Args:
        rows: with queries.COLUMNS.
        size: a key of SIZES.
        base_url: the tracking page lies below it.
    """
    _register_fonts()
    written, sheet = BytesIO(), SIZES[size]
    canvas = Canvas(written, pagesize=sheet, invariant=True)
    canvas.setTitle(" ".join(row.tracking_number for row in rows[:10]))
    places = list(_places(sheet))
    for number, row in enumerate(rows):
        if number and number % len(places) == 0:
            canvas.showPage()
        canvas.saveState()
        canvas.translate(*places[number % len(places)])
        _label(canvas, row, company=company, url=f"{base_url}/track/{row.tracking_number}")
        canvas.restoreState()
    canvas.save()
    return written.getvalue()


@cache
def _register_fonts() -> None:
    for name in (_TEXT, _BOLD):
        registerFont(TTFont(name, _FONTS / f"{name}.ttf"))


def _places(sheet: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Yield where labels begin on a sheet: in rows from its top."""
    across, down = round(sheet[0] // _WIDTH) or 1, round(sheet[1] // _HEIGHT) or 1
    for row in range(down):
        for column in range(across):
            yield column * _WIDTH, sheet[1] - (row + 1) * _HEIGHT


def _label(canvas: Canvas, row: Any, *, company: str, url: str) -> None:
    aside = _mark(canvas, _TEST_MARK) if row.test else 0
    y = _write(canvas, _HEIGHT - _MARGIN, company, font=_BOLD, size=10, most=1, width=_LINE - aside)
    if row.pickup:
        y = _write(canvas, y, ", ".join(_address(row.pickup)), font=_TEXT, size=7, most=2)
    y = _write(canvas, y - 2 * mm, row.recipient_name, font=_BOLD, size=15, most=2)
    for line in _address(row.destination):
        y = _write(canvas, y, line, font=_TEXT, size=12, most=2)
    below = _MARGIN + _BAR_HEIGHT + 8 * mm
    _about(canvas, below + _QR, row)
    _qr(canvas, url, x=_WIDTH - _MARGIN - _QR, y=below)
    _barcode(canvas, row.tracking_number)


def _mark(canvas: Canvas, word: str) -> float:
    """Write a word in white on black at the end of the first line; returns how much of the line it takes."""
    size, room = 10, 1 * mm
    line = _HEIGHT - _MARGIN - size * _GAP
    width = stringWidth(word, _BOLD, size) + 4 * room
    canvas.rect(_WIDTH - _MARGIN - width, line - room, width, _CAPITAL * size + 2 * room, fill=1)
    canvas.setFont(_BOLD, size)
    canvas.setFillGray(1)
    canvas.drawRightString(_WIDTH - _MARGIN - 2 * room, line, word)
    canvas.setFillGray(0)
    return float(width + 2 * room)


def _address(place: dict[str, Any]) -> list[str]:
    """Return the lines of an address, as a letter has them."""
    town = " ".join(filter(None, (place.get("postcode"), place["city"])))
    last = ", ".join(filter(None, (place.get("region"), place["country"])))
    return [line for line in (place["line1"], place.get("line2"), town, last) if line]


def _about(canvas: Canvas, top: float, row: Any) -> None:
    """Write what is sent, beside the QR code."""
    package = row.package or {}
    weight = package.get("weight_grams")
    facts = (
        row.reference and f"Ref. {row.reference}",
        f"Pieces: {package.get('pieces', 1)}",
        weight and f"Weight: {weight / 1000:g} kg",
        row.item_name,
    )
    for fact in filter(None, facts):
        top = _write(canvas, top, fact, font=_TEXT, size=9, most=2, width=_LINE - _QR - 3 * mm)


def _qr(canvas: Canvas, url: str, *, x: float, y: float) -> None:
    """Draw a QR code of the tracking page; level M survives a scratch."""
    QrCode(url, width=_QR, height=_QR, qrLevel="M").drawOn(canvas, x, y)


def _barcode(canvas: Canvas, number: str) -> None:
    code = Code128(number, barWidth=_BAR, barHeight=_BAR_HEIGHT, quiet=False)
    code.drawOn(canvas, (_WIDTH - code.width) / 2, _MARGIN + 4 * mm)
    canvas.setFont(_BOLD, 11)
    canvas.drawCentredString(_WIDTH / 2, _MARGIN, number)


def _write(canvas: Canvas, top: float, text: str, *, font: str, size: float, most: int, width: float = _LINE) -> float:
    """Write text below `top`, in as many lines as it takes and may; returns where it ends."""
    canvas.setFont(font, size)
    text = joined(text)
    base = base_of(text)
    lines = _lines(text, font=font, size=size, width=width)
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1][:-1]}…"]
    for line in lines:
        top -= size * _GAP
        canvas.drawString(_MARGIN, top, turned(line, base=base))
    return top


def _lines(text: str, *, font: str, size: float, width: float) -> list[str]:
    """Break text between words, and within those that are wider than a line."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if stringWidth(longer, font, size) <= width:
            lines[-1] = longer
            continue
        lines += [""] if lines[-1] else []
        for letter in word:
            if stringWidth(lines[-1] + letter, font, size) > width:
                lines.append("")
            lines[-1] += letter
    return lines
