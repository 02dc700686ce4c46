"""The log of one image: which pixels were asked, and the answers. It is independent of any network.

A session of the image study, a web page and a data-set network each ask from a log with their own score maps. The
log also lists the fits, so a learner can be trained again exactly as before.
"""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lowpix.data.dataset import IGNORE
from lowpix.errors import InputError
from lowpix.reveal.lattice import Lattice
from lowpix.reveal.selection import top, top_percent
from lowpix.seeds import seed_for
from lowpix.storage import atomic, read_parquet

VOID = IGNORE
"""The answer "this pixel has no class": it costs a click and teaches nothing."""
UNSURE = 254
"""The answer "I cannot tell": it costs a click and teaches nothing, too."""

SCHEMA = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        pa.field("column", pa.int32(), nullable=False),
        pa.field("answer", pa.uint8(), nullable=False),
        pa.field("fits", pa.int32(), nullable=False),  # number of fits between this answer and the next
    ]
)


class Log:
    """The pixels asked of an image, in order, with their answers.

    Args:
        classes: C. Answers below C are class ids; the others are VOID and UNSURE.
        askable: `(H, W)` bool, the pixels that may be asked; None for a log that is only read.
        seed: seed of the random draws in `ask`.
    """

    def __init__(self, classes: int, askable: NDArray[np.bool_] | None = None, seed: int = 0) -> None:
        self.classes = classes
        self.askable = None if askable is None else askable.copy()
        self.seed = seed
        self.fits: list[int] = []
        """The number of pixels asked at each fit of the learner."""
        self._pixels: list[tuple[int, int]] = []
        self._answers: list[int] = []

    @property
    def asked(self) -> int:
        """Number of pixels asked so far, which is the number of clicks."""
        return len(self._pixels)

    @property
    def revealed(self) -> int:
        """Number of labelled pixels: answers that are classes."""
        return sum(answer < self.classes for answer in self._answers)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """`(n, 2)` rows and columns of all pixels asked, in order."""
        return np.array(self._pixels, np.int64).reshape(-1, 2)

    @property
    def answers(self) -> NDArray[np.uint8]:
        """`(n,)` class ids, VOID or UNSURE, in the same order."""
        return np.array(self._answers, np.uint8)

    def digest(self) -> str:
        """SHA-256 of the fits and of all answers until the last one: what networks after it have learned."""
        end = self.fits[-1] if self.fits else 0
        parts = (np.array(self.fits, np.int64), self.pixels[:end], self.answers[:end])
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()

    def labelled(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """The labelled pixels, `(n, 2)`, and their classes, `(n,)`."""
        known = self.answers < self.classes
        return self.pixels[known], self.answers[known]

    def candidates(self) -> NDArray[np.bool_]:
        """`(H, W)` bool, the candidate pixels: those that may still be asked."""
        if self.askable is None:
            raise InputError("this log is only read: it does not know which pixels may be asked")
        left = self.askable.copy()
        left[tuple(self.pixels.T)] = False
        return left

    def ask(
        self,
        count: int,
        scores: NDArray[np.float32] | None,
        radius: float | NDArray[np.float32] = 0,
        percent: float | None = None,
        lattice: Lattice | None = None,
    ) -> NDArray[np.int64]:
        """The next pixels to ask, `(k, 2)` rows and columns.

        Args:
            count: number of pixels; fewer are returned if candidate pixels run out.
            scores: `(H, W)`, larger = ask sooner; None draws uniformly.
            radius: minimum distance between picks, as in `lowpix.reveal.selection.top`, while there is room.
            percent: if given, draw uniformly among the `percent` % highest scores instead.
            lattice: ask at its points alone, unless fewer than `count` of them are candidates.
        """
        left = self.candidates()
        draw = np.random.default_rng(seed_for(self.seed, "ask", self.asked))
        if lattice is not None and scores is not None and np.count_nonzero(left[lattice.where]) >= count:
            assert not isinstance(radius, np.ndarray), "of privileged scores, which have no lattice"
            near = radius / lattice.step
            points = _picked(scores[lattice.where], left[lattice.where], count, near, percent, draw)
            pixels: NDArray[np.int64] = points * lattice.step + np.array([lattice.row, lattice.column])
            return pixels
        if scores is None:
            return top_percent(np.zeros(left.shape, np.float32), left, count, 100, draw)
        return _picked(scores, left, count, radius, percent, draw)

    def tell(self, question: NDArray[np.int64], answers: NDArray[np.uint8]) -> None:
        """Append answers `(k,)` to pixels `(k, 2)`: class ids, VOID or UNSURE.

        Raises:
            InputError: a pixel is outside the image or already answered, an answer is none of these, or one of
                them is not of an integer type.
        """
        question, answers = np.asarray(question).reshape(-1, 2), np.asarray(answers)
        for what, values in (("pixels", question), ("answers", answers)):
            if values.size and values.dtype.kind not in "iub":
                raise InputError(f"{what} of type {values.dtype}: must be whole numbers of an integer type")
        if len(question) != len(answers):
            raise InputError(f"{len(answers)} answers to {len(question)} pixels: must be one each")
        seen = set(self._pixels)
        height, width = (np.inf, np.inf) if self.askable is None else self.askable.shape
        for (row, column), answer in zip(question.tolist(), answers.tolist(), strict=True):
            if not (0 <= row < height and 0 <= column < width):
                raise InputError(f"pixel ({row}, {column}): lies outside the image of ({height}, {width})")
            if not 0 <= answer < self.classes and answer not in (VOID, UNSURE):
                raise InputError(f"answer {answer} at ({row}, {column}): must be a class under {self.classes}")
            if (row, column) in seen:
                raise InputError(f"pixel ({row}, {column}): was told before; undo first to change its answer")
            seen.add((row, column))
        self._pixels += [(row, column) for row, column in question.tolist()]
        self._answers += [int(answer) for answer in answers]

    def undo(self, count: int = 1) -> None:
        """Take back the last `count` answers, and the fits that used them."""
        self._cut(max(0, self.asked - count))

    def until(self, asked: int) -> "Log":
        """The log as it was after `asked` pixels."""
        earlier = Log(self.classes, self.askable, self.seed)
        earlier._pixels, earlier._answers, earlier.fits = (
            self._pixels.copy(),
            self._answers.copy(),
            self.fits.copy(),
        )
        earlier._cut(asked)
        return earlier

    def overwrite(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pseudo-label map: predicted labels `(H, W)` overwritten by the oracle's answers.

        VOID answers become IGNORE. Pixels answered UNSURE keep the prediction.
        """
        result = labels.copy()
        sure = self.answers != UNSURE
        result[tuple(self.pixels[sure].T)] = self.answers[sure]
        return result

    def save(self, path: Path) -> None:
        """Write the log to a parquet file, without `askable`."""
        fits = np.bincount(np.array(self.fits, np.int64) - 1, minlength=self.asked)
        columns = [*self.pixels.T, self.answers, fits]
        table = pa.table([pa.array(column) for column in columns], names=SCHEMA.names).cast(SCHEMA)
        facts = {"classes": str(self.classes), "seed": str(self.seed)}
        facts["sha256"] = _digest(table, facts["classes"], facts["seed"])
        with atomic(path) as temporary:
            pq.write_table(table.replace_schema_metadata(facts), temporary)

    @classmethod
    def load(cls, path: Path, askable: NDArray[np.bool_] | None = None) -> "Log":
        """Read a log that `save` wrote. Raises InputError if the file is no log."""
        table = read_parquet(path, SCHEMA)
        facts = {
            key.decode(errors="replace"): value.decode(errors="replace")
            for key, value in (table.schema.metadata or {}).items()
        }
        if not {"classes", "seed", "sha256"} <= facts.keys():
            raise InputError(f"{path}: is no log: must hold the number of classes, the seed and its digest")
        if _digest(table, facts["classes"], facts["seed"]) != facts["sha256"]:
            raise InputError(f"{path}: is damaged: it does not match its own digest")
        columns = {name: table[name].to_numpy() for name in SCHEMA.names}
        try:
            log = cls(int(facts["classes"]), askable, int(facts["seed"]))
            log.tell(np.stack([columns["row"], columns["column"]], 1), columns["answer"])
            log.fits = np.repeat(np.arange(1, log.asked + 1), columns["fits"]).tolist()
        except ValueError as fault:  # InputError is one, too
            raise InputError(f"{path}: cannot be read as a log ({fault})") from None
        return log

    def _cut(self, keep: int) -> None:
        del self._pixels[keep:], self._answers[keep:]
        self.fits = [fit for fit in self.fits if fit <= keep]


def _picked(
    scores: NDArray[np.float32],
    left: NDArray[np.bool_],
    count: int,
    radius: float | NDArray[np.float32],
    percent: float | None,
    draw: np.random.Generator,
) -> NDArray[np.int64]:
    """Pixels chosen by score among those `left`, which is changed."""
    if percent is not None:
        return top_percent(scores, left, count, percent, draw)
    picks = top(scores, left, count, radius, draw)
    if len(picks) < count:  # no room left: pick closer pixels, so that all settings ask the same number
        left[tuple(picks.T)] = False
        picks = np.concatenate([picks, top(scores, left, count - len(picks), 0, draw)])
    return picks


def _digest(table: pa.Table, *facts: str) -> str:
    found = hashlib.sha256(" ".join(facts).encode())
    for name in SCHEMA.names:
        found.update(table[name].to_numpy().tobytes())
    return found.hexdigest()
