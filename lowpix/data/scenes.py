"""Generated street scenes: a data set that needs no download, of any size, count and number of classes.

A camera 2 m above a straight road looks along it. Houses line the street in true perspective, things stand on
the ground or hang in the air, hazier the farther; light falls off to one side, surfaces are textured, and the
sensor adds noise. What occludes what follows from distance. Labels are exact, but for a thin rim of void
around some larger things, as people leave it when they label by hand.
"""

from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lowpix.data.dataset import IGNORE, Dataset, default_palette
from lowpix.data.scene_objects import KINDS, Kind
from lowpix.errors import InputError

# By id; a scene of C classes has the first C. Surfaces left out become what they lie on, things left out are
# not there.
CLASSES = (
    "sky", "building", "road", "tree", "car", "pole", "pavement", "person", "sign", "fence",
    "window", "lane_marking", "bush", "bus", "roof", "grass", "cloud", "bin", "traffic_light", "door",
    "bicycle", "hill", "truck", "bench", "kerb", "wire", "hydrant", "awning", "bollard", "billboard",
    "crossing", "cone", "post_box", "kiosk", "lamp", "puddle", "dog", "balloon", "umbrella", "phone_box",
    "barrier", "flower_bed", "bird", "manhole", "flag", "statue", "sun", "fountain", "crane", "tent",
)  # fmt: skip
COLOURS = (
    (128, 178, 230), (158, 76, 60), (104, 96, 116), (84, 150, 60), (40, 70, 200), (240, 200, 60),
    (200, 120, 190), (220, 40, 60), (20, 190, 180), (150, 110, 40),
)  # fmt: skip
"""The first classes wear colours that say what they are; the rest the default palette."""

CAMERA = 2.0  # metres above the road
FOCAL = 0.9  # image heights: one metre at depth z is FOCAL / z of the image height
FAR = {"air": 400.0, "skyline": 300.0}  # drawn first; their size does not follow from a distance
MOST_SIDE = 1 << 14

Field = NDArray[np.floating[Any]]
Colour = tuple[float, float, float]


class Scenes(Dataset):
    """Generated street scenes; image and labels depend on seed, split, name, size and classes alone."""

    def __init__(
        self,
        split: str | None = None,
        *,
        size: tuple[int, int] = (120, 160),
        count: int = 8,
        classes: int = 6,
        seed: int = 0,
    ) -> None:
        """Scenes of `size` (height, width) in pixels. Raises InputError where a number is out of range."""
        if min(size) < 16 or max(size) > MOST_SIDE:
            raise InputError(f"--scene-size {size[0]} {size[1]}: height and width must be 16 to {MOST_SIDE}")
        if count < 1:
            raise InputError(f"--scene-count {count}: must be at least 1")
        if not 2 <= classes <= len(CLASSES):
            raise InputError(f"--scene-classes {classes}: must be 2 to {len(CLASSES)}")
        if seed < 0:
            raise InputError(f"--seed {seed}: must be at least 0")
        self.name, self.split = "scenes", split or "train"
        self.classes = CLASSES[:classes]
        self.palette = np.vstack([np.array(COLOURS, np.uint8), default_palette(len(CLASSES))[len(COLOURS) :]])[
            :classes
        ]
        self.images = tuple(f"scene_{index:03d}" for index in range(count))
        self.size, self.seed = size, seed

    def image(self, name: str) -> NDArray[np.uint8]:
        return self._scene(name).image()

    def labels(self, name: str) -> NDArray[np.uint8]:
        return self._scene(name).labels

    def _scene(self, name: str) -> "_Scene":
        if name not in self.images:
            raise InputError(f"--images {name}: scenes are named {self.images[0]} to {self.images[-1]}")
        rng = np.random.default_rng([self.seed, crc32(f"{self.split}/{name}".encode())])
        return _Scene(rng, self.size, {name: label for label, name in enumerate(self.classes)})


class _Scene:
    """One scene while it is drawn, from far to near. Lengths are in image heights, `x` likewise."""

    def __init__(self, rng: np.random.Generator, size: tuple[int, int], ids: dict[str, int]) -> None:
        height, width = size
        self.rng, self.size, self.ids = rng, size, ids
        self.y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
        self.x = ((np.arange(width, dtype=np.float32) + 0.5) / height)[None, :]
        self.colour = np.zeros((height, width, 3), np.float32)
        self.labels = np.full((height, width), ids["sky"], np.uint8)
        # Looking up at the houses where there is no road to see.
        self.horizon = float(rng.uniform(0.42, 0.52)) if "road" in ids else 1.0
        self.vanishing = width / height * float(rng.uniform(0.35, 0.65))
        self.half_road = float(rng.uniform(3.2, 4.2))
        self.walls = self.half_road + rng.uniform(2.5, 5.0, 2)  # metres from the middle to the houses, left, right
        self.haze = np.array([196, 208, 220], np.float32) * rng.uniform(0.9, 1.08)
        self.visibility = float(rng.uniform(90, 220))  # metres
        self.light_from = float(rng.choice((-1, 1)))
        self.fine = self._noise(size, 1.6 * height / 120)
        self.coarse = self._cloudy(height / 9)

        self._draw_sky()
        self._draw_houses()
        if "road" in ids:
            self._draw_ground()
        self._draw_things()

    def image(self) -> NDArray[np.uint8]:
        """The picture of it: light, a lens a little soft, and a sensor with noise."""
        span = self.x[0, -1]
        light = 1 + 0.16 * self.light_from * (self.x / span - 0.5) + 0.05 * self.coarse
        picture = self.colour * light[:, :, None]
        for axis in (0, 1):
            padded = np.pad(picture, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
            before, after = (padded.take(range(k, k + picture.shape[axis]), axis) for k in (0, 2))
            picture = 0.64 * picture + 0.18 * (before + after)
        picture += self.rng.normal(0, 4.0, picture.shape).astype(np.float32)
        whole: NDArray[np.uint8] = np.clip(np.round(picture), 0, 255).astype(np.uint8)
        return whole

    def _noise(self, size: tuple[int, int], grain: float) -> Field:
        # White noise on a lattice `grain` pixels wide, drawn out smoothly in between; unit variance.
        points = [max(2, round(side / max(grain, 1.0))) for side in size]
        field: Field = self.rng.standard_normal(points, dtype=np.float32)
        for pixels in size:
            at = np.linspace(0, len(field) - 1, pixels, dtype=np.float32)
            before = np.minimum(at.astype(np.intp), len(field) - 2)
            share = at - before.astype(np.float32)
            share = (share * share * (3 - 2 * share))[:, None]
            field = (field[before] * (1 - share) + field[before + 1] * share).T
        unit: Field = field / np.maximum(field.std(), np.float32(1e-6))
        return unit

    def _cloudy(self, grain: float) -> Field:
        # Three octaves, as clouds and weathered surfaces have them.
        first, second, third = (self._noise(self.size, grain / 2**octave) for octave in range(3))
        return (first + second / 2 + third / 4) / 1.15

    def _paint(self, mask: NDArray[np.bool_], colour: Field, label: str) -> None:
        np.copyto(self.colour, colour, where=mask[:, :, None])
        if label in self.ids:
            self.labels[mask] = self.ids[label]

    def _surface(self, colour: Colour | Field, grain: Field | float, depth: Field | float) -> Field:
        # A colour with grain, fading into haze with depth (metres).
        clear = np.exp(-np.asarray(depth, np.float32) / self.visibility)[..., None]
        textured = np.asarray(colour, np.float32) * np.asarray(1 + grain, np.float32)[..., None]
        hazy: Field = textured * clear + self.haze * (1 - clear)
        return hazy

    def _draw_sky(self) -> None:
        top = np.array([96, 146, 206], np.float32) * self.rng.uniform(0.85, 1.15)
        share = np.clip(self.y / self.horizon, 0, 1)[:, :, None]
        self.colour[:] = top * (1 - share) + (self.haze + 12) * share
        cloud = np.clip(self._cloudy(self.size[0] / 4) - self.rng.uniform(0.2, 1.2), 0, 1)
        white = np.array([238, 238, 236], np.float32)
        self.colour += (white - self.colour) * np.clip(1.6 * cloud, 0, 0.95)[:, :, None]
        if "cloud" in self.ids:
            self.labels[cloud > 0.25] = self.ids["cloud"]
        if "hill" in self.ids:
            ridge = self.horizon - 0.12 - 0.05 * np.sin(2.1 * self.x + self.rng.uniform(0, 6)) - 0.02 * self.coarse
            self._paint(self.y > ridge, self._surface((86, 112, 84), 0.06 * self.fine, 90.0), "hill")

    def _draw_houses(self) -> None:
        # A pixel's column says how far away the wall at its side is; its row then says how high on the wall.
        rng = self.rng
        aside = self.x - self.vanishing
        end = rng.uniform(60, 90)
        wall = np.where(aside < 0, self.walls[0], self.walls[1])
        scale = np.maximum(np.abs(aside) / wall, FOCAL / end).astype(np.float32)  # image heights a metre
        depth = FOCAL / scale
        # Where the street ends, a last house faces it, and one goes along it rather than into the distance.
        along = np.where(depth < end - 0.01, depth, aside / scale + 200)
        up = CAMERA - (self.y - self.horizon) / scale
        for side in (-1, 1):
            here = (aside < 0) if side < 0 else (aside >= 0)
            edges = np.cumsum(rng.uniform(5, 13, 60)) - 4
            house = np.where(depth < end - 0.01, np.searchsorted(edges, depth), 59)
            tall = np.where(rng.random(60) < 0.15, 2.6, rng.uniform(5, 14, 60))  # a garden wall in a gap
            tall[59] = rng.uniform(4, 9)
            tones = np.array([[172, 120, 98], [196, 180, 152], [150, 148, 146], [206, 196, 184], [140, 96, 80]])
            tone = (tones[rng.integers(0, 5, 60)] * rng.uniform(0.8, 1.1, (60, 1))).astype(np.float32)
            shade = 1.0 if side == self.light_from else 0.78  # one side of the street lies in shadow
            pitch, storey = rng.uniform(2.0, 3.6, 60)[house], rng.uniform(2.8, 3.6, 60)[house]
            height = tall[house]
            mask = here & (up >= 0) & (up < height)
            bricks = 0.05 * np.sign(np.sin(up * 21)) * (scale > 8 / 120)
            self._paint(mask, self._surface(tone[house] * shade, 0.07 * self.fine + bricks, depth), "building")
            large = pitch * scale * self.size[0] > 5  # windows of less than a few pixels melt into the wall
            pane = (np.abs((along / pitch) % 1 - 0.5) < 0.26) & (np.abs((up / storey) % 1 - 0.52) < 0.25)
            glass = mask & pane & (up > storey) & (up < height - 0.9) & large
            self._paint(glass, self._surface((62, 74, 92), 0.25 * self.coarse, depth), "window")
            door = mask & (up < 2.3) & (np.abs((along / pitch) % 2 - 1) < 0.16) & large
            self._paint(door, self._surface((74, 48, 40), 0.1 * self.fine, depth), "door")
            roof = mask & (up > height - 0.9)
            self._paint(roof, self._surface((110, 66, 56), 0.12 * self.fine, depth), "roof")
            awning = mask & (np.abs(up - 2.7) < 0.3) & (house % 3 == 0) & large
            stripes = 0.3 * np.sign(np.sin(along * 6))
            self._paint(awning, self._surface((190, 120, 90), stripes, depth), "awning")

    def _draw_ground(self) -> None:
        below = self.y > self.horizon
        scale = np.maximum((self.y - self.horizon) / CAMERA, 1e-4)
        depth = np.minimum(FOCAL / scale, 500)
        across = (self.x - self.vanishing) / scale  # metres to the right of the middle of the road
        away = np.abs(across)
        inside = below & (across > -self.walls[0]) & (across < self.walls[1])
        slabs = 0.05 * np.sign(np.sin(depth * 2.1)) * (scale > 0.06)
        self._paint(inside, self._surface((168, 160, 150), 0.06 * self.fine + slabs, depth), "road")
        if "pavement" in self.ids:
            self._paint(inside & (away > self.half_road), self.colour, "pavement")
        if "grass" in self.ids:
            lawn = inside & (away > self.half_road + 1.8) & (np.sin(depth / 9 + self.rng.uniform(0, 6)) > -0.2)
            self._paint(lawn, self._surface((104, 134, 64), 0.16 * self.fine, depth), "grass")
        road = inside & (away < self.half_road)
        tar = np.array([92, 92, 96], np.float32) * self.rng.uniform(0.8, 1.2)
        self._paint(road, self._surface(tar, 0.09 * self.fine + 0.06 * self.coarse, depth), "road")
        if "puddle" in self.ids:
            wet = road & (self._cloudy(self.size[0] / 7) * np.clip(scale / 0.1, 0, 1) > 1.4)
            self._paint(wet, self._surface((120, 140, 164), 0.05 * self.coarse, depth), "puddle")
        if "manhole" in self.ids:
            lid = road & ((across - self.rng.uniform(-2, 2)) ** 2 + (depth - self.rng.uniform(4, 9)) ** 2 < 0.25)
            self._paint(lid, self._surface((62, 60, 58), 0.2 * np.sign(np.sin(across * 40)), depth), "manhole")
        paint = self._surface((222, 220, 210), 0.08 * self.fine, depth)
        dashes = road & (away < 0.11) & ((depth + self.rng.uniform(0, 5)) % 5 < 2.8) & (depth < 45)
        self._paint(dashes, paint, "lane_marking")
        if "crossing" in self.ids:
            start = self.rng.uniform(6, 16)
            bars = road & (depth > start) & (depth < start + 3) & (across % 1.1 < 0.55)
            self._paint(bars, paint, "crossing")
        kerb = inside & (away > self.half_road) & (away < self.half_road + 0.22) & (depth < 40)
        self._paint(kerb, self._surface((190, 186, 178), 0.05 * self.fine, depth), "kerb")

    def _draw_things(self) -> None:
        things = []
        for label in [label for label in self.ids if label in KINDS]:
            kind = KINDS[label]
            least = 1 + kind.most // 3 if self.ids[label] < 10 else 0  # the first classes are in every scene
            for _ in range(self.rng.integers(least, kind.most + 1)):
                things.append((self._depth(kind), label))
        if "wire" in self.ids:
            self._draw_wire()
        for depth, label in sorted(things, reverse=True):
            self._draw_thing(depth, label)

    def _depth(self, kind: Kind) -> float:
        if kind.where in FAR:
            return FAR[kind.where]
        # Tall things are not so near that only their foot is seen, small ones not so far that they vanish.
        return float(np.exp(self.rng.uniform(np.log(4 + 0.6 * kind.height), np.log(14 + 5 * kind.height))))

    def _place(self, kind: Kind, scale: float) -> tuple[float, float]:
        """Where the middle of its foot is, as (x, y)."""
        side = int(self.rng.integers(0, 2))
        if kind.where in FAR:
            foot = self.horizon if kind.where == "skyline" else self.rng.uniform(0.12, 0.8) * self.horizon
            return self.rng.uniform(0, float(self.x[0, -1])), foot
        nearest, farthest = {
            "road": (1.2, self.half_road - 0.8),
            "kerb": (self.half_road + 0.3, self.half_road + 0.8),
            "side": (self.half_road + 0.9, self.walls[side] - 0.3),
        }[kind.where]
        aside = (-1, 1)[side] * self.rng.uniform(nearest, farthest)
        return self.vanishing + aside * scale, self.horizon + CAMERA * scale

    def _window(self, top: float, bottom: float, left: float, right: float) -> tuple[slice, slice]:
        first = [max(int(edge * self.size[0]), 0) for edge in (top, left)]
        last = [max(int(np.ceil(edge * self.size[0])), 0) for edge in (bottom, right)]
        return slice(first[0], last[0]), slice(first[1], last[1])

    def _draw_thing(self, depth: float, label: str) -> None:
        kind, rng, pixels = KINDS[label], self.rng, self.size[0]
        far = kind.where in FAR
        scale = 1.0 if far else FOCAL / depth
        middle, foot = self._place(kind, scale)
        vary, mirror = rng.uniform(0.85, 1.2), float(rng.choice((-1, 1)))
        tone: Field = np.array(kind.colours[rng.integers(len(kind.colours))], np.float32) * rng.uniform(0.8, 1.15)
        high = kind.height * scale * vary
        half = max(kind.width * scale * vary / 2, 0.75 / pixels)  # never thinner than a pixel and a half
        rows, columns = window = self._window(foot - high, foot, middle - half, middle + half)
        y, x = self.y[rows], self.x[:, columns]
        if y.size == 0 or x.size == 0:
            return
        if not far:
            self._cast_shadow(middle, foot, half, scale)

        u, v = np.broadcast_arrays(mirror * (x - middle) / half, (foot - y) / high)
        inside, shade = kind.shape(u, v, self._noise(u.shape, high * pixels / 9))
        inside = inside & (np.abs(u) < 1) & (v >= 0) & (v < 1)
        side = 1 + 0.12 * self.light_from * mirror * u
        lit = tone * (np.asarray(shade, np.float32) * side)[..., None]
        look = self._surface(lit, kind.texture * self.fine[window], 8.0 if far else depth)
        np.copyto(self.colour[window], look, where=inside[:, :, None])
        labels = self.labels[window]
        labels[inside] = self.ids[label]
        if min(high, 2 * half) * pixels > 14 and rng.random() < 0.6:
            labels[inside & ~_eroded(inside)] = IGNORE

    def _cast_shadow(self, middle: float, foot: float, half: float, scale: float) -> None:
        long, deep = 1.25 * half, 0.22 * scale
        rows, columns = window = self._window(foot - deep, foot + deep, middle - long, middle + long)
        ring = ((self.x[:, columns] - middle) / long) ** 2 + ((self.y[rows] - foot) / deep) ** 2
        self.colour[window] *= 1 - 0.5 * np.clip(1 - ring, 0, 1)[:, :, None]

    def _draw_wire(self) -> None:
        share = self.x / self.x[0, -1]
        for _ in range(2):
            left, right = self.rng.uniform(0.02, 0.3, 2)
            sag = left + (right - left) * share + 0.2 * share * (1 - share)
            thin = np.abs(self.y - sag) < 0.75 / self.size[0]
            self._paint(thin, np.full(3, 52, np.float32), "wire")


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(mask, 1, mode="edge")
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
