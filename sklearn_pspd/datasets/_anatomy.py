"""Anatomy and lesion of one synthetic patient: geometry and painting of slices, in millimetres."""

from types import SimpleNamespace

import numpy as np

TISSUE = {  # relative intensity on post-contrast T1
    "air": 0.02,
    "scalp": 0.95,
    "skull": 0.15,
    "fluid": 0.22,
    "grey": 0.55,
    "white": 0.75,
    "oedema": 0.58,
    "necrosis": 0.30,
    "enhancement": 1.35,
    "mark": 2.0,
}
FLAIR_TISSUE = {  # relative intensity on FLAIR, in which fluid is dark and oedema is bright
    "air": 0.02,
    "scalp": 0.85,
    "skull": 0.12,
    "fluid": 0.10,
    "grey": 0.70,
    "white": 0.55,
    "oedema": 1.20,
    "necrosis": 0.60,
    "enhancement": 0.90,
}
T1_OEDEMA_MM = 5.0  # how far the oedema of an image reaches beyond the enhancing ring
MARK_DEPTH_MM, MARK_RADIUS_MM = 8.0, 7.0


def draw_head(rng):
    """Return the healthy anatomy of one patient, in mm from the centre of the head (x right, y forwards, z up)."""
    return SimpleNamespace(
        semi_axes=rng.normal((73, 92, 88), (2, 2, 3)),
        taper=rng.uniform(0.05, 0.15),
        gyri=rng.integers(15, 22),
        phases=rng.uniform(0, 2 * np.pi, 3),
        ventricles=rng.normal((12, 0, 15), (1.5, 4, 3)),
        ventricle_semi_axes=rng.normal((6, 26, 15), (1.5, 3, 2)),
    )


def draw_lesion(score, head, rng):
    """Return the lesion and the adjacent resection cavity; a high score gives a thin, smooth and small ring."""
    # Size and place: beside the midline and inside the brain.
    noise = rng.standard_normal(3)
    radius = np.clip(30 - 4.5 * score + 3 * noise[0], 15, 45) / 2
    x_axis, y_axis, z_axis = head.semi_axes
    z = rng.uniform(0, 35)
    direction = rng.uniform(-1, 1) + np.pi * rng.integers(2)
    level = np.sqrt(1 - (z / z_axis) ** 2)
    edge = 1 / np.hypot(np.cos(direction) / (x_axis * level - 16), np.sin(direction) / (y_axis * level - 16))
    reach = min(0.62 * edge, edge - 1.2 * radius)
    centre = np.array([reach * np.cos(direction), reach * np.sin(direction), z])
    # The resection cavity touches the lesion on one side.
    cavity_radius = rng.uniform(8, 14)
    along = direction + rng.choice([-1, 1]) * np.pi / 2
    offset = 0.85 * radius + 0.6 * cavity_radius
    # The score also determines the thickness of the rim and its nodules.
    return SimpleNamespace(
        centre=centre,
        radius=radius,
        height=radius * rng.uniform(0.9, 1.2),
        rim_mm=np.clip(4.5 - 1.3 * score + 0.3 * noise[1], 1.5, 0.5 * radius),
        nodules=np.array([0.5, 0.6, 0.5]) * rng.uniform(0.7, 1.3, 3) / (1 + np.exp(1.5 * score + 0.5 * noise[2])),
        lobes=np.array([0.10, 0.06, 0.04]) * rng.uniform(0.5, 1.2, 3),
        phases=rng.uniform(0, 2 * np.pi, 5),
        twist=rng.normal(0, 0.03),
        cavity_centre=centre + offset * np.array([np.cos(along), np.sin(along), 0]),
        cavity_radius=cavity_radius,
    )


def fold_angles(x, y, head):
    """Return the phase of the gyri at each pixel at height 0; `paint_head` adds a rotation with height."""
    angle = np.arctan2(y, x)
    return head.gyri * angle + 2 * np.sin(3 * angle + np.float32(head.phases[0])) + np.float32(head.phases[1])


def paint_head(x, y, z, head, angles, blur_mm, table=TISSUE):
    """Return one axial slice without the lesion, float32 of shape (len(x), len(y))."""
    a, b, c = (np.float32(axis) for axis in head.semi_axes)
    across = x / a * (1 + np.float32(head.taper) * y / b)
    depth = a * (1 - np.sqrt(across**2 + (y / b) ** 2 + np.float32(z / c) ** 2))
    folds = np.cos(angles + np.float32(z / 6))
    image = np.full(depth.shape, table["air"], dtype=np.float32)
    for tissue, from_mm in (("scalp", 0), ("skull", 5), ("fluid", 11), ("grey", 13)):
        _blend(image, table[tissue], _coverage(depth - from_mm, blur_mm))
    sulci = _coverage(1.5 * folds - 0.9, 0.5) * _coverage(depth - 12, 1) * _coverage(19 - depth, 4)
    _blend(image, table["fluid"], sulci)
    _blend(image, table["white"], _coverage(depth - 18 - 3 * folds, blur_mm + 1))
    falx = 1.2 + np.cos(y / 9 + np.float32(head.phases[2])) / 2
    falx = _coverage(falx - abs(x), blur_mm) * _coverage(abs(y) - 30, 4) * _coverage(depth - 12, 2)
    _blend(image, table["fluid"], falx)
    _paint_ventricles(image, x, y, z, head, blur_mm, table["fluid"])
    return image


def _paint_ventricles(image, x, y, z, head, blur_mm, fluid):
    """Paint both lateral ventricles in place; they diverge backwards."""
    x_middle, y_middle, z_middle = head.ventricles.astype(np.float32)
    across, along, upward = head.ventricle_semi_axes.astype(np.float32)
    aside = (abs(x) - x_middle + y * np.float32(0.18)) / across
    radius = np.sqrt(aside**2 + ((y - y_middle) / along) ** 2 + np.float32((z - z_middle) / upward) ** 2)
    _blend(image, fluid, _coverage((1 - radius) * across, blur_mm))


def paint_lesion(image, x, y, z, lesion, blur_mm, table=TISSUE, oedema_mm=T1_OEDEMA_MM):
    """Paint the resection cavity, the oedema and the enhancing ring of one slice, in place.

    The lobes of the outline rotate with height without a change of area, so the lesion is largest in the slice through
    its centre.
    """
    u, v, w = lesion.cavity_centre.astype(np.float32)
    part, x_near, y_near = _near(image, x, y, (u, v), lesion.cavity_radius + blur_mm)
    cavity = lesion.cavity_radius - np.sqrt((x_near - u) ** 2 + (y_near - v) ** 2 + np.float32(z - w) ** 2)
    _blend(part, table["fluid"], _coverage(cavity, blur_mm))
    u, v, w = lesion.centre.astype(np.float32)
    level = 1 - ((z - w) / lesion.height) ** 2
    if level <= 0:
        return
    part, x_near, y_near = _near(image, x, y, (u, v), 1.3 * lesion.radius + 5 + oedema_mm + blur_mm)
    inside = _inside_mm(x_near, y_near, z, lesion)
    angle = _lesion_angle(x_near, y_near, z, lesion)
    bumps = np.clip(_waves(angle, lesion.nodules, lesion.phases[2:]), 0, None)
    _blend(part, table["oedema"], 0.8 * _coverage(inside + np.float32(oedema_mm), 8) * _coverage(part - 0.4, 0.1))
    _blend(part, table["enhancement"], _coverage(inside, blur_mm))
    _blend(part, table["necrosis"], _coverage(inside - np.float32(lesion.rim_mm) * (1 + bumps), blur_mm))


def mark_lesion(mask, x, y, z, lesion, n_at_most=None):
    """Set the pixels of one slice that the outline of the enhancing ring encloses to 1, in place; return their number.

    Of more than `n_at_most` pixels, those nearest to the outline are left out.
    """
    part, x_near, y_near = _near(mask, x, y, lesion.centre.astype(np.float32)[:2], 1.3 * lesion.radius)
    inside = _inside_mm(x_near, y_near, z, lesion)
    n_pixels = int((inside > 0).sum())
    if n_at_most is not None and n_pixels > n_at_most:
        n_pixels = n_at_most
        part.flat[np.argsort(-inside, axis=None, kind="stable")[:n_pixels]] = 1
    else:
        part[inside > 0] = 1
    return n_pixels


def _inside_mm(x, y, z, lesion):
    """Return for each pixel how far it lies inside the outline of the enhancing ring, in mm; negative outside."""
    u, v, w = lesion.centre.astype(np.float32)
    level = max(1 - ((z - w) / lesion.height) ** 2, 0.0)
    outline = 1 + _waves(_lesion_angle(x, y, z, lesion), lesion.lobes, lesion.phases[:3])
    return np.float32(lesion.radius * np.sqrt(level)) * outline - np.hypot(x - u, y - v)


def paint_mark(image, x, y, z, head, direction_deg, blur_mm):
    """Paint a bright mark within the skull in one direction from the centre of the head, in place, in every slice."""
    a, b, c = head.semi_axes
    cosine, sine = np.cos(np.radians(direction_deg)), np.sin(np.radians(direction_deg))
    level = max((1 - MARK_DEPTH_MM / a) ** 2 - (z / c) ** 2, 0.0)
    distance = np.sqrt(level / ((cosine / a) ** 2 + (sine / b) ** 2))
    u, v = np.float32(distance * cosine), np.float32(distance * sine)
    _blend(image, TISSUE["mark"], _coverage(MARK_RADIUS_MM - np.hypot(x - u, y - v), blur_mm))


def _lesion_angle(x, y, z, lesion):
    """Return the direction of each pixel from the lesion's centre; the outline rotates with height."""
    u, v, w = lesion.centre.astype(np.float32)
    return np.arctan2(y - v, x - u) + np.float32(lesion.twist * (z - w))


def _near(image, x, y, centre, reach_mm):
    """Return a view of the image around a centre, and the coordinates of its rows and columns."""
    rows = slice(*np.searchsorted(x[:, 0], (centre[0] - reach_mm, centre[0] + reach_mm)))
    columns = slice(*np.searchsorted(y[0], (centre[1] - reach_mm, centre[1] + reach_mm)))
    return image[rows, columns], x[rows], y[:, columns]


def _waves(angle, sizes, phases):
    """Return a sum of cosines with 2, 3 and 4 periods per revolution."""
    waves = zip((2, 3, 4), sizes, phases, strict=True)
    return sum(np.float32(size) * np.cos(turns * angle + np.float32(phase)) for turns, size, phase in waves)


def _coverage(inside_mm, blur_mm):
    """Return the fraction of a pixel inside a border, 0 to 1, from its distance to the border."""
    return np.clip(inside_mm / np.float32(blur_mm) + np.float32(0.5), 0, 1)


def _blend(image, value, coverage):
    """Paint a tissue over an image in place, weighted by its coverage of each pixel."""
    image += (np.float32(value) - image) * coverage
