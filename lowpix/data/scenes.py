"""Generated street scenes: a data set that needs no download, of any size, count and number of classes.

A camera 2 m above a straight road looks along it. Houses line the street in true perspective. Things stand on the
ground or hang in the air. Near things hide far ones, and haze grows with distance. Light falls off to one side,
surfaces are textured, and the sensor adds noise. Labels are exact, except for a thin rim of void around some of
the larger things, as in hand-made label maps.

Published tables depend on every pixel: keep the order of the random draws and of the arithmetic.
"""

from functools import partial
from math import ceil
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion

from lowpix.data.dataset import IGNORE, Dataset, default_palette
from lowpix.data.scene_objects import KINDS, Field, Mask, parts
from lowpix.errors import InputError

# In the order of ids. Scenes of C classes have the first C. A surface of a later class gets the label of what it
# lies on; things of later classes are not drawn.
CLASSES = (
    "sky", "building", "road", "tree", "car", "pole", "pavement", "person", "sign", "fence",
    "window", "lane_marking", "bush", "bus", "roof", "grass", "cloud", "bin", "traffic_light", "door",
    "bicycle", "hill", "truck", "bench", "kerb", "wire", "hydrant", "awning", "bollard", "billboard",
    "crossing", "cone", "post_box", "kiosk", "lamp", "puddle", "dog", "balloon", "umbrella", "phone_box",
    "barrier", "flower_bed", "bird", "manhole", "flag", "statue", "sun", "fountain", "crane", "tent",
)  # fmt: skip

CAMERA = 2.0  # metres above the road
FOCAL = 0.9  # one metre at depth z metres is FOCAL / z image heights
FAR = {"air": 400.0, "skyline": 300.0}  # depth in metres; only sets the drawing order, not the size
HOUSES = 60  # on each side, more than are visible; the last one closes the street
WALL_TONES = np.array([[172, 120, 98], [196, 180, 152], [150, 148, 146], [206, 196, 184], [140, 96, 80]])
MOST_SIDE = 1 << 14

Size = tuple[int, int]  # height, width in pixels
Values = Field | float
Window = tuple[slice, slice]
WHOLE = np.s_[:, :]


SPLITS = ("train", "val", "test")


class Scenes(Dataset):
    """Generated street scenes. Image and labels depend only on seed, split, name, size and classes."""

    def __init__(
        self, split: str | None = None, *, size: Size = (120, 160), count: int = 8, classes: int = 6, seed: int = 0
    ) -> None:
        """Scenes of `size` (height, width) in pixels. Raises InputError if a number is out of range."""
        if min(size) < 16 or max(size) > MOST_SIDE:
            raise InputError(f"--scene-size {size[0]} {size[1]}: height and width must be 16 to {MOST_SIDE}")
        if count < 1:
            raise InputError(f"--scene-count {count}: must be at least 1")
        if not 2 <= classes <= len(CLASSES):
            raise InputError(f"--scene-classes {classes}: must be 2 to {len(CLASSES)}")
        if seed < 0:
            raise InputError(f"--seed {seed}: must be at least 0")
        if split not in (None, *SPLITS):
            raise InputError(f"--split {split}: scenes has {', '.join(SPLITS)}")
        self.name, self.split, self.size, self.seed = "scenes", split or "train", size, seed
        self.classes = CLASSES[:classes]
        self.palette = default_palette(classes)
        self.images = tuple(f"scene_{index:03d}" for index in range(count))

    @property
    def settings(self) -> dict[str, object]:
        scenes = {"scene_size": self.size, "scene_count": len(self.images), "scene_classes": len(self.classes)}
        return {**super().settings, **scenes, "seed": self.seed}

    def image(self, name: str) -> NDArray[np.uint8]:
        return self._scene(name).image()

    def labels(self, name: str) -> NDArray[np.uint8]:
        return self._scene(name).labels

    def _scene(self, name: str) -> "_Scene":
        if name not in self.images:
            raise InputError(f"--images {name}: scenes are named {self.images[0]} to {self.images[-1]}")
        rng = np.random.default_rng([self.seed, crc32(f"{self.split}/{name}".encode())])
        return _Scene(rng, self.size, {label: index for index, label in enumerate(self.classes)})


class _Scene:
    """One scene, drawn from far to near. Lengths are in image heights, `x` and `y` included."""

    def __init__(self, rng: np.random.Generator, size: Size, ids: dict[str, int]) -> None:
        height, width = size
        self.rng, self.size, self.ids = rng, size, ids
        self.y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
        self.x = ((np.arange(width, dtype=np.float32) + 0.5) / height)[None, :]
        self.colour = np.zeros((height, width, 3), np.float32)
        self.labels = np.full(size, ids["sky"], np.uint8)
        # Without a road the camera looks up at the houses.
        self.horizon = rng.uniform(0.42, 0.52) if "road" in ids else 1.0
        self.vanishing = width / height * rng.uniform(0.35, 0.65)
        self.half_road = rng.uniform(3.2, 4.2)
        self.walls = self.half_road + rng.uniform(2.5, 5.0, 2)  # metres, road's middle to left, right houses
        self.haze = np.array([196, 208, 220], np.float32) * rng.uniform(0.9, 1.08)
        self.visibility = rng.uniform(90, 220)  # metres
        self.light_from = float(rng.choice((-1, 1)))
        self.fine = self._noise(size, 1.6 * height / 120)
        self.coarse = self._cloudy(height / 9)

        self._draw_sky()
        self._draw_houses()
        if "road" in ids:
            self._draw_ground()
        self._draw_things()

    def image(self) -> NDArray[np.uint8]:
        """The picture: light, a slight blur of the lens, and noise of the sensor."""
        light = 1 + 0.16 * self.light_from * (self.x / self.x[0, -1] - 0.5) + 0.05 * self.coarse
        picture: Field = self.colour * light[:, :, None]
        for axis in (0, 1):
            at = np.arange(self.size[axis])
            before, after = (picture.take(at + step, axis, mode="clip") for step in (-1, 1))
            picture = 0.64 * picture + 0.18 * (before + after)
        picture += self.rng.normal(0, 4.0, picture.shape).astype(np.float32)
        return picture.round().clip(0, 255).astype(np.uint8)

    def _noise(self, size: tuple[int, ...], grain: float) -> Field:
        # White noise on a lattice of `grain` pixels, interpolated smoothly; unit variance.
        points = [max(2, round(side / max(grain, 1.0))) for side in size]
        field: Field = self.rng.standard_normal(points, np.float32)
        for pixels in size:
            at = np.linspace(0, len(field) - 1, pixels, dtype=np.float32)
            before = np.minimum(at.astype(np.intp), len(field) - 2)
            share = (at - before.astype(np.float32))[:, None]
            share = share * share * (3 - 2 * share)
            field = (field[before] * (1 - share) + field[before + 1] * share).T
        unit: Field = field / np.maximum(field.std(), np.float32(1e-6))
        return unit

    def _cloudy(self, grain: float) -> Field:
        # Three octaves of noise look like clouds and weathered surfaces.
        first, second, third = (self._noise(self.size, grain / part) for part in (1, 2, 4))
        return (first + second / 2 + third / 4) / 1.15

    def _paint(
        self, label: str, mask: Mask, colour: ArrayLike, grain: Values = 0, depth: Values = 0, at: Window = WHOLE
    ) -> None:
        # Paint a colour with grain that fades into haze with depth (metres). If the scene does not have the class,
        # the pixels keep their label.
        clear = np.exp(-np.asarray(depth, np.float32) / self.visibility)[..., None]
        textured = np.asarray(colour, np.float32) * np.asarray(1 + grain, np.float32)[..., None]
        np.copyto(self.colour[at], textured * clear + self.haze * (1 - clear), where=mask[:, :, None])
        if label in self.ids:
            self.labels[at][mask] = self.ids[label]

    def _draw_sky(self) -> None:
        top = np.array([96, 146, 206], np.float32) * self.rng.uniform(0.85, 1.15)
        share = np.clip(self.y / self.horizon, 0, 1)[:, :, None]
        blue = top * (1 - share) + (self.haze + 12) * share
        cloud = np.clip(self._cloudy(self.size[0] / 4) - self.rng.uniform(0.2, 1.2), 0, 1)
        white = np.array([238, 238, 236], np.float32)
        self.colour[:] = blue + (white - blue) * np.clip(1.6 * cloud, 0, 0.95)[:, :, None]
        self._paint("cloud", cloud > 0.25, self.colour)
        if "hill" in self.ids:
            ridge = self.horizon - 0.12 - 0.05 * np.sin(2.1 * self.x + self.rng.uniform(0, 6)) - 0.02 * self.coarse
            self._paint("hill", self.y > ridge, (86, 112, 84), 0.06 * self.fine, 90.0)

    def _draw_houses(self) -> None:
        # A pixel's column gives the distance of the wall; its row then gives the height on the wall.
        rng, fine = self.rng, self.fine
        aside = self.x - self.vanishing
        end = rng.uniform(60, 90)
        wall = np.where(aside < 0, *self.walls)
        scale = np.maximum(abs(aside) / wall, FOCAL / end).astype(np.float32)  # image heights a metre
        depth = FOCAL / scale
        paint = partial(self._paint, depth=depth)
        # The last house faces the street: positions along it run across the image, not into the distance.
        at_end = depth >= end - 0.01
        along = np.where(at_end, aside / scale + 200, depth)
        up = CAMERA - (self.y - self.horizon) / scale
        for side, here in ((-1, aside < 0), (1, aside >= 0)):
            edges = np.cumsum(rng.uniform(5, 13, HOUSES)) - 4
            house = np.where(at_end, HOUSES - 1, np.searchsorted(edges, depth))
            tall = np.where(rng.random(HOUSES) < 0.15, 2.6, rng.uniform(5, 14, HOUSES))  # 2.6 m: a garden wall
            tall[-1] = rng.uniform(4, 9)
            tones = WALL_TONES[rng.integers(0, 5, HOUSES)] * rng.uniform(0.8, 1.1, (HOUSES, 1))
            shade = 1.0 if side == self.light_from else 0.78  # one side of the street is in shadow
            pitch, storey = rng.uniform(2.0, 3.6, HOUSES)[house], rng.uniform(2.8, 3.6, HOUSES)[house]
            eaves = tall[house] - 0.9
            front = here & (up >= 0) & (up < tall[house])
            large = front & (pitch * scale * self.size[0] > 5)  # smaller windows and doors are not drawn
            pane = (abs((along / pitch) % 1 - 0.5) < 0.26) & (abs((up / storey) % 1 - 0.52) < 0.25)
            bricks = 0.05 * np.sign(np.sin(up * 21)) * (scale > 8 / 120)
            stripes = 0.3 * np.sign(np.sin(along * 6))
            paint("building", front, tones.astype(np.float32)[house] * shade, 0.07 * fine + bricks)
            paint("window", large & pane & (up > storey) & (up < eaves), (62, 74, 92), 0.25 * self.coarse)
            paint("door", large & (up < 2.3) & (abs((along / pitch) % 2 - 1) < 0.16), (74, 48, 40), 0.1 * fine)
            paint("roof", front & (up > eaves), (110, 66, 56), 0.12 * fine)
            paint("awning", large & (abs(up - 2.7) < 0.3) & (house % 3 == 0), (190, 120, 90), stripes)

    def _draw_ground(self) -> None:
        rng, fine, ids = self.rng, self.fine, self.ids
        scale = np.maximum((self.y - self.horizon) / CAMERA, 1e-4)
        depth = np.minimum(FOCAL / scale, 500)
        across = (self.x - self.vanishing) / scale  # metres to the right of the middle of the road
        away = abs(across)
        paint = partial(self._paint, depth=depth)
        street = (self.y > self.horizon) & (across > -self.walls[0]) & (across < self.walls[1])
        road, beside = street & (away < self.half_road), street & (away > self.half_road)
        slabs = 0.05 * np.sign(np.sin(depth * 2.1)) * (scale > 0.06)
        paint("road", street, (168, 160, 150), 0.06 * fine + slabs)
        self._paint("pavement", beside, self.colour)
        if "grass" in ids:
            lawn = street & (away > self.half_road + 1.8) & (np.sin(depth / 9 + rng.uniform(0, 6)) > -0.2)
            paint("grass", lawn, (104, 134, 64), 0.16 * fine)
        tar = np.array([92, 92, 96], np.float32) * rng.uniform(0.8, 1.2)
        paint("road", road, tar, 0.09 * fine + 0.06 * self.coarse)
        if "puddle" in ids:
            wet = road & (self._cloudy(self.size[0] / 7) * np.clip(scale / 0.1, 0, 1) > 1.4)
            paint("puddle", wet, (120, 140, 164), 0.05 * self.coarse)
        if "manhole" in ids:
            lid = road & ((across - rng.uniform(-2, 2)) ** 2 + (depth - rng.uniform(4, 9)) ** 2 < 0.25)
            paint("manhole", lid, (62, 60, 58), 0.2 * np.sign(np.sin(across * 40)))
        dashes = road & (away < 0.11) & ((depth + rng.uniform(0, 5)) % 5 < 2.8) & (depth < 45)
        paint("lane_marking", dashes, (222, 220, 210), 0.08 * fine)
        if "crossing" in ids:
            start = rng.uniform(6, 16)
            bars = road & (depth > start) & (depth < start + 3) & (across % 1.1 < 0.55)
            paint("crossing", bars, (222, 220, 210), 0.08 * fine)
        paint("kerb", beside & (away < self.half_road + 0.22) & (depth < 40), (190, 186, 178), 0.05 * fine)

    def _draw_things(self) -> None:
        things = []
        for label, kind in ((label, KINDS[label]) for label in self.ids if label in KINDS):
            least = 1 + kind.most // 3 if self.ids[label] < 10 else 0  # the first 10 classes are in every scene
            # Keep tall things far enough to be seen whole, and small things near enough to be seen at all.
            nearest, farthest = np.log(4 + 0.6 * kind.height), np.log(14 + 5 * kind.height)
            for _ in range(self.rng.integers(least, kind.most + 1)):
                things.append((FAR.get(kind.where) or float(np.exp(self.rng.uniform(nearest, farthest))), label))
        for _ in range(2 if "wire" in self.ids else 0):
            left, right = self.rng.uniform(0.02, 0.3, 2)
            share = self.x / self.x[0, -1]
            sag = left + (right - left) * share + 0.2 * share * (1 - share)
            self._paint("wire", abs(self.y - sag) < 0.75 / self.size[0], (52, 52, 52))
        for depth, label in sorted(things, reverse=True):
            self._draw_thing(depth, label)

    def _draw_thing(self, depth: float, label: str) -> None:
        kind, rng, pixels = KINDS[label], self.rng, self.size[0]
        far = kind.where in FAR
        scale = 1.0 if far else FOCAL / depth
        middle, foot = self._place(kind.where, scale)
        vary, mirror = rng.uniform(0.85, 1.2), float(rng.choice((-1, 1)))
        tone = np.array(kind.colours[rng.integers(len(kind.colours))], np.float32) * rng.uniform(0.8, 1.15)
        high = kind.height * scale * vary
        half = max(kind.width * scale * vary / 2, 0.75 / pixels)  # at least 1.5 pixels wide
        window, right, down = self._around(middle, foot, half, high, 0)
        if right.size == 0 or down.size == 0:
            return
        if not far:
            long, deep = 1.25 * half, 0.22 * scale
            shadow, x, y = self._around(middle, foot, long, deep, deep)
            self.colour[shadow] *= 1 - 0.5 * np.clip(1 - ((x / long) ** 2 + (y / deep) ** 2), 0, 1)[:, :, None]

        u, v = np.broadcast_arrays(mirror * right / half, -down / high)
        masks, shades = zip(*parts(label, u, v, self._noise(u.shape, high * pixels / 9)), strict=True)
        inside = np.any(masks, axis=0) & (abs(u) < 1) & (v >= 0) & (v < 1)
        light = np.select(masks, shades).astype(np.float32) * (1 + 0.12 * self.light_from * mirror * u)
        look, grain = tone * light[:, :, None], kind.texture * self.fine[window]
        self._paint(label, inside, look, grain, 8.0 if far else depth, window)
        if min(high, 2 * half) * pixels > 14 and rng.random() < 0.6:
            self.labels[window][inside & ~binary_erosion(inside, border_value=1)] = IGNORE

    def _place(self, where: str, scale: float) -> tuple[float, float]:
        # The middle of the thing's foot, as (x, y).
        side = self.rng.integers(0, 2)
        if where in FAR:
            foot = self.horizon * (1 if where == "skyline" else self.rng.uniform(0.12, 0.8))
            return self.rng.uniform(0, self.x[0, -1]), foot
        nearest, farthest = {
            "road": (1.2, self.half_road - 0.8),
            "kerb": (self.half_road + 0.3, self.half_road + 0.8),
            "side": (self.half_road + 0.9, self.walls[side] - 0.3),
        }[where]
        aside = (-1, 1)[side] * self.rng.uniform(nearest, farthest)
        return self.vanishing + aside * scale, self.horizon + CAMERA * scale

    def _around(self, x: float, y: float, half: float, above: float, below: float) -> tuple[Window, Field, Field]:
        # The window of a box around (x, y), and the distances of its pixels to the right of (x, y) and below it.
        top, left = (max(int(edge * self.size[0]), 0) for edge in (y - above, x - half))
        bottom, right = (max(ceil(edge * self.size[0]), 0) for edge in (y + below, x + half))
        return np.s_[top:bottom, left:right], self.x[:, left:right] - x, self.y[top:bottom] - y
