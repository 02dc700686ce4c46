"""What stands, hangs or flies in a generated scene: shapes in their own coordinates, measures in metres.

A shape is a function of `u`, −1 to 1 from left to right, `v`, 0 to 1 from foot to top, and `rough`, a smooth
noise of unit variance, all (h, w). It returns (inside (h, w) bool, shade (h, w) or a number: brightness).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Form = tuple[NDArray[np.bool_], Any]
Shape = Callable[[Array, Array, Array], Form]


def _disc(u: Array, v: Array, u0: float, v0: float, ru: float, rv: float) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = ((u - u0) / ru) ** 2 + ((v - v0) / rv) ** 2 < 1
    return inside


def tree(u: Array, v: Array, rough: Array) -> Form:
    crown = (u / 0.9) ** 2 + ((v - 0.65) / 0.37) ** 2 < 0.85 + 0.3 * rough
    trunk = (np.abs(u) < 0.09) & (v < 0.5)
    return crown | trunk, np.where(crown, 0.75 + 0.3 * (v - 0.5) - 0.15 * u + 0.18 * rough, 0.45)


def blob(u: Array, v: Array, rough: Array) -> Form:
    return u**2 + v**2 < 0.9 + 0.3 * rough, 0.6 + 0.4 * v + 0.15 * rough


def car(u: Array, v: Array, rough: Array) -> Form:
    wheels = _disc(u, v, -0.6, 0.16, 0.2, 0.19) | _disc(u, v, 0.6, 0.16, 0.2, 0.19)
    body = (np.abs(u) < 1 - 0.5 * np.maximum(v - 0.45, 0)) & (v > 0.14) & (v < 0.6)
    cabin = (np.abs(u + 0.05) < 0.98 - 0.62 * v) & (v >= 0.55) & (v < 0.98)
    glass = cabin & (np.abs(u + 0.05) < 0.9 - 0.6 * v) & (v > 0.6) & (v < 0.9) & (np.abs(u + 0.05) > 0.05)
    shade = np.where(wheels, 0.14, np.where(glass, 0.3, 0.72 + 0.3 * v))
    return body | cabin | wheels, shade


def bus(u: Array, v: Array, rough: Array) -> Form:
    wheels = _disc(u, v, -0.62, 0.09, 0.13, 0.1) | _disc(u, v, 0.62, 0.09, 0.13, 0.1)
    body = (np.abs(u) < 0.98) & (v > 0.08) & (v < 0.99)
    glass = body & (v > 0.5) & (v < 0.83) & (np.abs((u * 4) % 1 - 0.5) < 0.4) & (np.abs(u) < 0.93)
    return body | wheels, np.where(wheels, 0.14, np.where(glass, 0.28, 0.75 + 0.15 * v))


def truck(u: Array, v: Array, rough: Array) -> Form:
    wheels = _disc(u, v, -0.6, 0.12, 0.15, 0.13) | _disc(u, v, 0.65, 0.12, 0.15, 0.13)
    load, cab = (u < 0.45) & (v > 0.18), (u >= 0.5) & (u < 0.98) & (v > 0.12) & (v < 0.72)
    glass = cab & (v > 0.42) & (v < 0.64) & (u > 0.58)
    return load | cab | wheels, np.where(wheels, 0.14, np.where(glass, 0.25, np.where(cab, 0.6, 0.9)))


def person(u: Array, v: Array, rough: Array) -> Form:
    head, torso = _disc(u, v, 0, 0.91, 0.3, 0.085), _disc(u, v, 0, 0.66, 0.72, 0.2)
    legs = (v < 0.5) & (np.abs(np.abs(u) - 0.12 - 0.35 * (0.5 - v)) < 0.19)
    return head | torso | legs, np.where(head, 1.0, np.where(legs, 0.4, 0.8))


def pole(u: Array, v: Array, rough: Array) -> Form:
    return np.abs(u) < 1, 0.85 - 0.35 * u


def lamp(u: Array, v: Array, rough: Array) -> Form:
    post, head = np.abs(u) < 0.12, (v > 0.86) & (np.abs(u) < 0.95)
    return post | head, np.where(head, 1.0, 0.5)


def sign(u: Array, v: Array, rough: Array) -> Form:
    plate, post = _disc(u, v, 0, 0.84, 0.98, 0.16), (np.abs(u) < 0.12) & (v < 0.8)
    inner = _disc(u, v, 0, 0.84, 0.62, 0.1)
    return plate | post, np.where(inner, 0.55, np.where(plate, 1.0, 0.45))


def fence(u: Array, v: Array, rough: Array) -> Form:
    pickets, rails = (u * 8) % 1 < 0.45, (np.abs(v - 0.75) < 0.08) | (np.abs(v - 0.3) < 0.08)
    return pickets | rails, 0.75 + 0.2 * rails


def box(u: Array, v: Array, rough: Array) -> Form:
    return (np.abs(u) < 0.97) & (v < 0.97), 0.7 + 0.3 * (v > 0.85) - 0.25 * (u > 0.5)


def framed(u: Array, v: Array, rough: Array) -> Form:
    frame = (np.abs(u) > 0.75) | (v > 0.85) | (v < 0.12) | (np.abs((v * 5) % 1 - 0.5) > 0.42)
    return np.abs(u) < 0.98, np.where(frame, 0.9, 0.35)


def board(u: Array, v: Array, rough: Array) -> Form:
    plate, legs = (v > 0.45) & (np.abs(u) < 0.98), (np.abs(np.abs(u) - 0.7) < 0.06) & (v <= 0.45)
    return plate | legs, np.where(legs, 0.35, 0.75 + 0.2 * (np.sin(9 * u) * np.sin(14 * v) > 0.2))


def bench(u: Array, v: Array, rough: Array) -> Form:
    slats = ((v > 0.4) & (v < 0.56)) | ((v > 0.68) & (v < 0.96))
    legs = (np.abs(np.abs(u) - 0.75) < 0.1) & (v < 0.7)
    return slats | legs, np.where(slats, 0.85, 0.4)


def bicycle(u: Array, v: Array, rough: Array) -> Form:
    rings = [((u - c) / 0.46) ** 2 + ((v - 0.33) / 0.33) ** 2 for c in (-0.53, 0.53)]
    wheels = (np.abs(rings[0] - 0.8) < 0.25) | (np.abs(rings[1] - 0.8) < 0.25)
    frame = (np.abs(v - 0.66) < 0.06) & (np.abs(u) < 0.55) | (np.abs(u + 0.2) < 0.06) & (v > 0.3) & (v < 0.85)
    bars = (np.abs(u - 0.5) < 0.1) & (v > 0.33)
    return wheels | frame | bars, np.where(wheels, 0.25, 0.8)


def lights(u: Array, v: Array, rough: Array) -> Form:
    case, post = (v > 0.68) & (np.abs(u) < 0.95), (np.abs(u) < 0.25) & (v <= 0.7)
    bulbs = _disc(u, (v * 10) % 1, 0, 0.5, 0.55, 0.35) & case
    return case | post, np.where(bulbs, 1.0, np.where(case, 0.2, 0.45))


def cone(u: Array, v: Array, rough: Array) -> Form:
    return np.abs(u) < np.maximum(0.75 * (1 - v), (v < 0.1) * 1.0), np.where(np.abs(v - 0.5) < 0.14, 1.4, 0.9)


def dog(u: Array, v: Array, rough: Array) -> Form:
    body = _disc(u, v, -0.1, 0.55, 0.7, 0.22) | _disc(u, v, 0.7, 0.78, 0.28, 0.2)
    legs = (np.abs(np.abs(u + 0.1) - 0.5) < 0.1) & (v < 0.6)
    return body | legs, 0.7 + 0.2 * v


def umbrella(u: Array, v: Array, rough: Array) -> Form:
    roof, stick = (v > 0.7) & _disc(u, v, 0, 0.7, 1, 0.3), (np.abs(u) < 0.05) & (v <= 0.72)
    return roof | stick, np.where(stick, 0.4, 0.75 + 0.25 * (np.sin(8 * u) > 0))


def balloon(u: Array, v: Array, rough: Array) -> Form:
    bag, basket = _disc(u, v, 0, 0.62, 0.98, 0.38), (np.abs(u) < 0.2) & (v < 0.12)
    return bag | basket | ((np.abs(np.abs(u) - 0.2) < 0.04) & (v < 0.4)), 0.7 + 0.3 * (np.sin(10 * u) > 0)


def bird(u: Array, v: Array, rough: Array) -> Form:
    return np.abs(v - 0.35 - 0.55 * np.abs(np.sin(2.2 * u))) < 0.2 * (1.1 - np.abs(u)), 0.5


def disc(u: Array, v: Array, rough: Array) -> Form:
    return _disc(u, v, 0, 0.5, 1, 0.5), 1.0


def flag(u: Array, v: Array, rough: Array) -> Form:
    mast, cloth = u < -0.9, (v > 0.62 + 0.03 * np.sin(5 * u)) & (v < 0.96 + 0.03 * np.sin(5 * u))
    return mast | cloth, np.where(mast, 0.45, 0.8 + 0.2 * np.sin(5 * u))


def statue(u: Array, v: Array, rough: Array) -> Form:
    inside, shade = person(u / 0.6, (v - 0.4) / 0.6, rough)
    return (inside & (v > 0.4)) | (v <= 0.4) & (np.abs(u) < 0.9 - 0.4 * (v > 0.1)), 0.7 + 0.2 * shade


def fountain(u: Array, v: Array, rough: Array) -> Form:
    basin, jet = (v < 0.25) & (np.abs(u) < 0.98), np.abs(np.abs(u) - 0.45 * (1 - v**2)) < 0.16
    return basin | jet, np.where(basin, 0.6, 1.1 + 0.1 * rough)


def crane(u: Array, v: Array, rough: Array) -> Form:
    mast, jib = np.abs(u + 0.4) < 0.05, (np.abs(v - 0.88) < 0.025) & (np.abs(u) < 0.98)
    cable = (np.abs(u - 0.6) < 0.015) & (v > 0.6) & (v < 0.9)
    return mast | jib | cable, 0.8 + 0.2 * (np.sin(60 * (u + v)) > 0)


def tent(u: Array, v: Array, rough: Array) -> Form:
    return np.abs(u) < 1 - v, np.where(np.abs(u) < 0.25 * (1 - v), 0.25, 0.75 + 0.15 * (u < 0))


@dataclass(frozen=True)
class Kind:
    """A kind of thing: its shape, its measures, where it is found and in which colours."""

    shape: Shape
    height: float  # metres, or share of the image height where it flies
    width: float  # metres, likewise
    where: str  # "road", "kerb" (edge of the pavement), "side" (before the houses), "air", "skyline"
    colours: tuple[tuple[int, int, int], ...]
    most: int = 2  # most of them in a scene
    texture: float = 0.04  # relative grain of its surface


_PAINT = (
    (178, 38, 34),
    (36, 62, 130),
    (205, 205, 200),
    (40, 42, 46),
    (120, 128, 134),
    (30, 92, 70),
    (196, 150, 60),
)
_CLOTHES = ((150, 60, 50), (50, 70, 120), (200, 190, 170), (60, 60, 60), (90, 120, 80), (190, 140, 60))
_GREEN = ((70, 104, 48), (88, 112, 50), (58, 92, 56), (104, 112, 44))

KINDS: dict[str, Kind] = {
    "tree": Kind(tree, 7.0, 5.0, "side", _GREEN, most=6, texture=0.22),
    "car": Kind(car, 1.5, 3.9, "road", _PAINT, most=6),
    "pole": Kind(pole, 6.5, 0.2, "kerb", ((105, 105, 100), (150, 148, 140), (70, 66, 60)), most=6),
    "person": Kind(person, 1.75, 0.62, "side", _CLOTHES, most=6),
    "sign": Kind(sign, 2.7, 0.75, "kerb", ((200, 40, 40), (40, 80, 190), (220, 180, 40)), most=3),
    "fence": Kind(fence, 1.1, 5.5, "side", ((150, 120, 84), (210, 206, 196), (80, 84, 84)), most=3),
    "bush": Kind(blob, 1.1, 2.4, "side", _GREEN, most=4, texture=0.2),
    "bus": Kind(bus, 3.1, 8.5, "road", ((190, 40, 36), (40, 110, 150), (214, 176, 60)), most=1),
    "bin": Kind(box, 1.05, 0.65, "kerb", ((60, 72, 60), (80, 84, 90), (40, 80, 120)), most=3),
    "traffic_light": Kind(lights, 3.2, 0.42, "kerb", ((150, 170, 120),), most=3),
    "bicycle": Kind(bicycle, 1.1, 1.8, "kerb", _PAINT),
    "truck": Kind(truck, 3.0, 6.5, "road", ((214, 210, 200), (90, 120, 160), (190, 160, 110)), most=1),
    "bench": Kind(bench, 0.9, 1.9, "side", ((140, 98, 60),)),
    "hydrant": Kind(cone, 0.8, 0.55, "kerb", ((206, 60, 40), (210, 190, 60))),
    "bollard": Kind(pole, 0.95, 0.2, "kerb", ((50, 50, 50), (200, 196, 186)), most=5),
    "billboard": Kind(board, 4.5, 4.5, "side", ((210, 200, 120), (120, 180, 200), (220, 140, 140))),
    "cone": Kind(cone, 0.75, 0.5, "road", ((226, 104, 36),), most=4),
    "post_box": Kind(box, 1.4, 0.55, "kerb", ((190, 30, 34),)),
    "kiosk": Kind(framed, 2.6, 2.8, "side", ((70, 110, 100), (150, 110, 70))),
    "lamp": Kind(lamp, 5.0, 1.1, "kerb", ((190, 186, 160),), most=3),
    "dog": Kind(dog, 0.65, 1.0, "side", ((120, 86, 54), (60, 50, 44), (200, 184, 150))),
    "balloon": Kind(balloon, 0.13, 0.09, "air", ((210, 90, 60), (90, 100, 190))),
    "umbrella": Kind(umbrella, 2.3, 2.2, "side", ((190, 60, 70), (70, 130, 150), (220, 190, 120))),
    "phone_box": Kind(framed, 2.4, 0.95, "kerb", ((176, 28, 30),), most=1),
    "barrier": Kind(board, 1.0, 2.2, "road", ((220, 110, 60), (226, 190, 70))),
    "flower_bed": Kind(blob, 0.45, 2.6, "side", ((190, 70, 120), (210, 170, 60), (150, 90, 180)), 2, 0.4),
    "bird": Kind(bird, 0.022, 0.05, "air", ((60, 58, 60),), most=5),
    "flag": Kind(flag, 4.5, 1.5, "side", ((190, 50, 60), (50, 90, 170), (230, 200, 80))),
    "statue": Kind(statue, 3.2, 1.2, "side", ((120, 140, 126), (150, 146, 136))),
    "sun": Kind(disc, 0.09, 0.09, "air", ((255, 246, 200),), most=1, texture=0.0),
    "fountain": Kind(fountain, 1.6, 2.4, "side", ((170, 186, 200),), most=1),
    "crane": Kind(crane, 0.34, 0.3, "skyline", ((206, 160, 50),), most=1),
    "tent": Kind(tent, 2.2, 2.8, "side", ((200, 120, 60), (90, 130, 170))),
}  # fmt: skip
