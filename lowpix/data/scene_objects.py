"""The things in a generated scene: how large they are, where they are found, and how they look."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


class Kind(NamedTuple):
    """A kind of thing: its size, where it is found and its colours."""

    height: float  # metres; in "air" and "skyline" share of the image height
    width: float  # same unit as the height
    where: str  # "road", "kerb" (edge of the pavement), "side" (in front of the houses), "air", "skyline"
    colours: tuple[tuple[int, int, int], ...]
    most: int = 2  # maximum number in a scene
    texture: float = 0.04  # relative strength of the surface noise


_CAR = ((178, 38, 34), (36, 62, 130), (205, 205, 200), (40, 42, 46), (120, 128, 134), (30, 92, 70), (196, 150, 60))
_CLOTHES = ((150, 60, 50), (50, 70, 120), (200, 190, 170), (60, 60, 60), (90, 120, 80), (190, 140, 60))
_GREEN = ((70, 104, 48), (88, 112, 50), (58, 92, 56), (104, 112, 44))

KINDS: dict[str, Kind] = {
    "tree": Kind(7.0, 5.0, "side", _GREEN, most=6, texture=0.22),
    "car": Kind(1.5, 3.9, "road", _CAR, most=6),
    "pole": Kind(6.5, 0.2, "kerb", ((105, 105, 100), (150, 148, 140), (70, 66, 60)), most=6),
    "person": Kind(1.75, 0.62, "side", _CLOTHES, most=6),
    "sign": Kind(2.7, 0.75, "kerb", ((200, 40, 40), (40, 80, 190), (220, 180, 40)), most=3),
    "fence": Kind(1.1, 5.5, "side", ((150, 120, 84), (210, 206, 196), (80, 84, 84)), most=3),
    "bush": Kind(1.1, 2.4, "side", _GREEN, most=4, texture=0.2),
    "bus": Kind(3.1, 8.5, "road", ((190, 40, 36), (40, 110, 150), (214, 176, 60)), most=1),
    "bin": Kind(1.05, 0.65, "kerb", ((60, 72, 60), (80, 84, 90), (40, 80, 120)), most=3),
    "traffic_light": Kind(3.2, 0.42, "kerb", ((150, 170, 120),), most=3),
    "bicycle": Kind(1.1, 1.8, "kerb", _CAR),
    "truck": Kind(3.0, 6.5, "road", ((214, 210, 200), (90, 120, 160), (190, 160, 110)), most=1),
    "bench": Kind(0.9, 1.9, "side", ((140, 98, 60),)),
    "hydrant": Kind(0.8, 0.55, "kerb", ((206, 60, 40), (210, 190, 60))),
    "bollard": Kind(0.95, 0.2, "kerb", ((50, 50, 50), (200, 196, 186)), most=5),
    "billboard": Kind(4.5, 4.5, "side", ((210, 200, 120), (120, 180, 200), (220, 140, 140))),
    "cone": Kind(0.75, 0.5, "road", ((226, 104, 36),), most=4),
    "post_box": Kind(1.4, 0.55, "kerb", ((190, 30, 34),)),
    "kiosk": Kind(2.6, 2.8, "side", ((70, 110, 100), (150, 110, 70))),
    "lamp": Kind(5.0, 1.1, "kerb", ((190, 186, 160),), most=3),
    "dog": Kind(0.65, 1.0, "side", ((120, 86, 54), (60, 50, 44), (200, 184, 150))),
    "balloon": Kind(0.13, 0.09, "air", ((210, 90, 60), (90, 100, 190))),
    "umbrella": Kind(2.3, 2.2, "side", ((190, 60, 70), (70, 130, 150), (220, 190, 120))),
    "phone_box": Kind(2.4, 0.95, "kerb", ((176, 28, 30),), most=1),
    "barrier": Kind(1.0, 2.2, "road", ((220, 110, 60), (226, 190, 70))),
    "flower_bed": Kind(0.45, 2.6, "side", ((190, 70, 120), (210, 170, 60), (150, 90, 180)), 2, 0.4),
    "bird": Kind(0.022, 0.05, "air", ((60, 58, 60),), most=5),
    "flag": Kind(4.5, 1.5, "side", ((190, 50, 60), (50, 90, 170), (230, 200, 80))),
    "statue": Kind(3.2, 1.2, "side", ((120, 140, 126), (150, 146, 136))),
    "sun": Kind(0.09, 0.09, "air", ((255, 246, 200),), most=1, texture=0.0),
    "fountain": Kind(1.6, 2.4, "side", ((170, 186, 200),), most=1),
    "crane": Kind(0.34, 0.3, "skyline", ((206, 160, 50),), most=1),
    "tent": Kind(2.2, 2.8, "side", ((200, 120, 60), (90, 130, 170))),
}


def parts(label: str, u: Field, v: Field, rough: Field) -> Iterator[tuple[Mask, Any]]:
    """The parts of a thing, front part first: each part's mask and brightness.

    `u` runs from −1 (left) to 1 (right) and `v` from 0 (foot) to 1 (top). `rough` is smooth noise of unit
    variance. All are (h, w). A part that reaches beyond this box is cut off.
    """
    aside = abs(u)  # parts drawn with it appear left and right
    match label:
        case "tree":
            crown = _ring(u, v, 0, 0.65, 0.9, 0.37) < 0.85 + 0.3 * rough
            yield crown, 0.75 + 0.3 * (v - 0.5) - 0.15 * u + 0.18 * rough
            yield (aside < 0.09) & (v < 0.5), 0.45  # trunk
        case "bush" | "flower_bed":
            yield u**2 + v**2 < 0.9 + 0.3 * rough, 0.6 + 0.4 * v + 0.15 * rough
        case "car":
            middle = abs(u + 0.05)
            yield _ring(aside, v, 0.6, 0.16, 0.2, 0.19) < 1, 0.14  # wheels
            yield (middle > 0.05) & (middle < 0.9 - 0.6 * v) & (v > 0.6) & (v < 0.9), 0.3  # glass
            yield (middle < 0.98 - 0.62 * v) & (v >= 0.55) & (v < 0.98), 0.72 + 0.3 * v  # cabin
            yield (aside < 1 - 0.5 * np.maximum(v - 0.45, 0)) & (v > 0.14) & (v < 0.6), 0.72 + 0.3 * v
        case "bus":
            yield _ring(aside, v, 0.62, 0.09, 0.13, 0.1) < 1, 0.14  # wheels
            yield (aside < 0.93) & (v > 0.5) & (v < 0.83) & (abs((u * 4) % 1 - 0.5) < 0.4), 0.28  # windows
            yield (aside < 0.98) & (v > 0.08) & (v < 0.99), 0.75 + 0.15 * v
        case "truck":
            yield _ring(u, v, -0.6, 0.12, 0.15, 0.13) < 1, 0.14  # wheels
            yield _ring(u, v, 0.65, 0.12, 0.15, 0.13) < 1, 0.14
            yield (u > 0.58) & (u < 0.98) & (v > 0.42) & (v < 0.64), 0.25  # glass
            yield (u >= 0.5) & (u < 0.98) & (v > 0.12) & (v < 0.72), 0.6  # cab
            yield (u < 0.45) & (v > 0.18), 0.9  # load
        case "person":
            yield _ring(u, v, 0, 0.91, 0.3, 0.085) < 1, 1.0  # head
            yield (v < 0.5) & (abs(aside - 0.12 - 0.35 * (0.5 - v)) < 0.19), 0.4  # legs
            yield _ring(u, v, 0, 0.66, 0.72, 0.2) < 1, 0.8
        case "statue":
            for part, shade in parts("person", u / 0.6, (v - 0.4) / 0.6, rough):
                yield part, 0.7 + 0.2 * shade
            yield (v <= 0.4) & (aside < 0.9 - 0.4 * (v > 0.1)), 0.86  # plinth
        case "pole" | "bollard":
            yield aside < 1, 0.85 - 0.35 * u
        case "lamp":
            yield (v > 0.86) & (aside < 0.95), 1.0  # head
            yield aside < 0.12, 0.5
        case "sign":
            yield _ring(u, v, 0, 0.84, 0.62, 0.1) < 1, 0.55
            yield _ring(u, v, 0, 0.84, 0.98, 0.16) < 1, 1.0
            yield (aside < 0.12) & (v < 0.8), 0.45  # post
        case "traffic_light":
            yield (v > 0.68) & (_ring(u, (v * 10) % 1, 0, 0.5, 0.55, 0.35) < 1), 1.0  # bulbs
            yield (v > 0.68) & (aside < 0.95), 0.2  # case
            yield aside < 0.25, 0.45  # post
        case "fence":
            yield (abs(v - 0.75) < 0.08) | (abs(v - 0.3) < 0.08), 0.95  # rails
            yield (u * 8) % 1 < 0.45, 0.75  # pickets
        case "bin" | "post_box":
            yield (aside < 0.97) & (v < 0.97), 0.7 + 0.3 * (v > 0.85) - 0.25 * (u > 0.5)
        case "kiosk" | "phone_box":
            yield (aside <= 0.75) & (v >= 0.12) & (v <= 0.85) & (abs((v * 5) % 1 - 0.5) <= 0.42), 0.35  # panes
            yield aside < 0.98, 0.9
        case "billboard" | "barrier":
            yield (v > 0.45) & (aside < 0.98), 0.75 + 0.2 * (np.sin(9 * u) * np.sin(14 * v) > 0.2)
            yield abs(aside - 0.7) < 0.06, 0.35  # legs
        case "bench":
            yield (v > 0.4) & (v < 0.56) | (v > 0.68) & (v < 0.96), 0.85  # slats
            yield (abs(aside - 0.75) < 0.1) & (v < 0.7), 0.4
        case "bicycle":
            yield abs(_ring(aside, v, 0.53, 0.33, 0.46, 0.33) - 0.8) < 0.25, 0.25  # wheels
            yield (abs(v - 0.66) < 0.06) & (aside < 0.55), 0.8
            yield (abs(u + 0.2) < 0.06) & (v > 0.3) & (v < 0.85) | (abs(u - 0.5) < 0.1) & (v > 0.33), 0.8
        case "cone" | "hydrant":
            yield (aside < 0.75 * (1 - v)) | (v < 0.1), np.where(abs(v - 0.5) < 0.14, 1.4, 0.9)
        case "dog":
            body, head = _ring(u, v, -0.1, 0.55, 0.7, 0.22) < 1, _ring(u, v, 0.7, 0.78, 0.28, 0.2) < 1
            yield body | head | (abs(abs(u + 0.1) - 0.5) < 0.1) & (v < 0.6), 0.7 + 0.2 * v
        case "umbrella":
            yield (aside < 0.05) & (v <= 0.72), 0.4  # stick
            yield (v > 0.7) & (_ring(u, v, 0, 0.7, 1, 0.3) < 1), 0.75 + 0.25 * (np.sin(8 * u) > 0)
        case "balloon":
            basket, ropes = (aside < 0.2) & (v < 0.12), (abs(aside - 0.2) < 0.04) & (v < 0.4)
            yield (_ring(u, v, 0, 0.62, 0.98, 0.38) < 1) | basket | ropes, 0.7 + 0.3 * (np.sin(10 * u) > 0)
        case "bird":
            yield abs(v - 0.35 - 0.55 * abs(np.sin(2.2 * u))) < 0.2 * (1.1 - aside), 0.5
        case "sun":
            yield _ring(u, v, 0, 0.5, 1, 0.5) < 1, 1.0
        case "flag":
            wave = np.sin(5 * u)
            yield u < -0.9, 0.45  # mast
            yield (v > 0.62 + 0.03 * wave) & (v < 0.96 + 0.03 * wave), 0.8 + 0.2 * wave
        case "fountain":
            yield (v < 0.25) & (aside < 0.98), 0.6  # basin
            yield abs(aside - 0.45 * (1 - v**2)) < 0.16, 1.1 + 0.1 * rough
        case "crane":
            jib, cable = abs(v - 0.88) < 0.025, (abs(u - 0.6) < 0.015) & (v > 0.6) & (v < 0.9)
            yield (abs(u + 0.4) < 0.05) | jib & (aside < 0.98) | cable, 0.8 + 0.2 * (np.sin(60 * (u + v)) > 0)
        case "tent":
            yield aside < 0.25 * (1 - v), 0.25
            yield aside < 1 - v, 0.75 + 0.15 * (u < 0)


def _ring(u: Field, v: Field, u0: float, v0: float, ru: float, rv: float) -> Field:
    # 0 at the centre of an ellipse, 1 on its edge.
    ring: Field = ((u - u0) / ru) ** 2 + ((v - v0) / rv) ** 2
    return ring
