"""Pictures inside a page: grey images as PNG, and the probability of a patient on its scale as SVG."""

import base64
import struct
import zlib

import numpy as np

# The grey scale spans these percentiles of the whole stack, as in SliceStackDisplay.
GREY_PERCENTILES = (0.5, 99.8)
# The scale in the drawing's own units: a phone shows it at its size, a screen up to twice as large.
LEFT, RIGHT, AXIS_Y = 14, 346, 62


def grey_levels(pixels):
    """Return the grey values of a stack as bytes."""
    low, high = np.percentile(pixels, GREY_PERCENTILES)
    scaled = (np.asarray(pixels, dtype=np.float64) - low) / max(high - low, np.finfo(float).tiny)
    return np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def png_uri(image):
    """Return a grey image of bytes, shape (height, width), as a data URI with a PNG file."""
    height, width = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunks).decode("ascii")


def scale_svg(*, probability, threshold, interval=None, members=(), band=None, decimals=2):
    """Draw the probability of PsPD of one patient on a scale from 0 to 1.

    Parameters
    ----------
    probability, threshold : float
        Of the model.
    interval : tuple of float, default=None
        Calibrated interval.
    members : sequence of float, default=()
        Probabilities by the members of an ensemble.
    band : tuple of float, default=None
        Limits between which the model gives no class.
    decimals : int, default=2
        Of the probability in the description of the drawing.

    Returns
    -------
    str
        An ``svg`` element.
    """
    label = f"probability of PsPD {probability:.{decimals}f}"
    parts = [f'<svg viewBox="0 0 360 {AXIS_Y + 34}" role="img" aria-label="{label}">']
    # What the scale says of classes: the side of PD, the side of PsPD, and between them no class.
    low, high = band if band is not None else (threshold, threshold)
    parts += [_box("pd", 0, low, AXIS_Y - 44, 44), _box("pspd", high, 1, AXIS_Y - 44, 44)]
    parts += [_label("PD", LEFT, AXIS_Y - 48, "start"), _label("PsPD", RIGHT, AXIS_Y - 48, "end")]
    if high > low:
        parts.append(_box("none", low, high, AXIS_Y - 44, 44))
    # The axis.
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = _x(tick)
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{AXIS_Y}" y2="{AXIS_Y + 4}"/>')
        parts.append(_label(f"{tick:g}", x, AXIS_Y + 16, "middle"))
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{RIGHT}" y1="{AXIS_Y}" y2="{AXIS_Y}"/>')
    parts.append(_label("probability of PsPD", _x(0.5), AXIS_Y + 30, "middle"))
    x = _x(threshold)
    parts.append(f'<line class="threshold" x1="{x}" x2="{x}" y1="{AXIS_Y - 44}" y2="{AXIS_Y}"/>')
    # The patient.
    if interval is not None:
        parts.append(_box("interval", *interval, AXIS_Y - 13, 8))
    parts += [
        f'<line class="member" x1="{_x(member)}" x2="{_x(member)}" y1="{AXIS_Y - 42}" y2="{AXIS_Y - 34}"/>'
        for member in members
    ]
    x = _x(probability)
    diamond = f"{x},{AXIS_Y - 31} {x + 5.5},{AXIS_Y - 24} {x},{AXIS_Y - 17} {x - 5.5},{AXIS_Y - 24}"
    parts.append(f'<polygon class="probability" points="{diamond}"/>')
    return "".join([*parts, "</svg>"])


def _x(value):
    return round(LEFT + (RIGHT - LEFT) * float(value), 2)


def _box(kind, low, high, y, height):
    return f'<rect class="{kind}" x="{_x(low)}" y="{y}" width="{round(_x(high) - _x(low), 2)}" height="{height}"/>'


def _label(text, x, y, anchor):
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
