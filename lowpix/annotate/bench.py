"""One image that is being labelled: its networks, their labels, and the next questions."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lowpix.annotate.frame import Frame
from lowpix.annotate.store import Answer, Kind
from lowpix.errors import InputError
from lowpix.reveal.log import UNSURE, Log
from lowpix.seeds import seed_for

if TYPE_CHECKING:
    import torch

    from lowpix.annotate.carried import Carried
    from lowpix.reveal.session import ImageSession
    from lowpix.reveal.smoothing import Edges

AHEAD = 8
"""Number of questions that the page holds. A fast person answers two or three while a round runs."""
FIRST = 5
"""Number of random first questions, as in an image study."""
HISTORY = 32
"""Number of fits that an undo can go back to without training anew."""

Question = tuple[int, Kind]
"""A cell, and whether it is asked to learn or to audit."""


class Bench:
    """An image at the size at which it is worked on.

    Until `begin` gives it networks, it asks random pixels.

    Args:
        frame: the photograph's size.
        small: `(h, w, 3)` uint8, the photograph at the size of work.
        seed: seed of the session, as in an image study.
    """

    def __init__(self, frame: Frame, small: NDArray[np.uint8], seed: int) -> None:
        self.frame, self.small, self.seed = frame, small, seed
        self.session: ImageSession | None = None
        self.helped_by = 0
        """Number of images that the network learned from which helps this image; 0 without one."""
        self._mean: torch.Tensor | None = None
        """`(C, h * w)` mean probabilities of the last round; None once the labels follow them."""
        self.labels: NDArray[np.uint8] | None = None
        """`(h, w)` class ids; answered pixels have their answer, VOID included. None without networks."""
        self.version = 0
        """Grows with the labels."""
        self.questions: list[Question] = []
        self._known: list[tuple[int, int]] | None = None
        """Cell and answer of all pixels that the questions follow; None while these are not the networks' own."""
        self._audit_order: NDArray[np.int64] | None = None

    def begin(
        self,
        inputs: "torch.Tensor",
        edges: "Edges",
        classes: int,
        answers: Sequence[Answer],
        fits: Sequence[int],
        networks: Path,
        carried: "Carried | None" = None,
    ) -> None:
        """Make the networks, and restore them as they were after the last fit, from their file or by its fits.

        What is `carried` over from other images helps them, if it knows as many classes.
        """
        from lowpix.reveal.session import ImageSession

        prior = carried.prior if carried and carried.levels.shape == (*self.frame.shape, classes) else None
        self.helped_by = carried.images if carried and prior is not None else 0
        askable = np.ones(self.frame.shape, np.bool_)
        session = ImageSession(
            self.small, askable, classes, seed=self.seed, inputs=inputs, edges=edges, prior=prior, history=HISTORY
        )
        log = self._log(_learnt(answers), classes)
        log.fits = [count for count in fits if count <= log.asked]
        try:
            session.restore(log, networks if networks.exists() else None)
        except InputError as fault:  # or a kill came between the file and the record of its fit
            print(f"warning: {fault}: they are trained again from the answers", file=sys.stderr)
            session.restore(log)
        self._known, self.session, self.labels, self._mean = None, session, None, None

    def behind(self, answers: Sequence[Answer]) -> int:
        """Number of answers, given or taken back, that the networks do not know."""
        wanted, known = _told(_learnt(answers)), self._known or []
        return len(wanted) + len(known) - 2 * _common(wanted, known)

    @property
    def learnt(self) -> int:
        """Number of answers that the questions follow."""
        return len(self._known or [])

    @property
    def renewed(self) -> bool:
        """Whether both questions and labels follow the last round."""
        return self._known is not None and self._mean is None

    def round(self, answers: Sequence[Answer]) -> bool:
        """Train on all answers but audits, and judge all pixels. Returns whether a fit ran.

        Then `ask` renews the questions, and `label` the labels. Smoothing labels takes a while, and no question
        needs it.
        """
        from lowpix.reveal.session import fit

        assert self.session is not None, "begin comes first"
        session, learnt = self.session, _learnt(answers)
        wanted, have = _told(learnt), self._told_before()
        common = _common(wanted, have)
        session.undo(len(have) - common)
        added = learnt[common:]
        session.tell(self._pixels(added), np.array([answer.answer for answer in added], np.uint8))
        log = session.log
        assert log.askable is not None, "given in begin"
        log.askable[:] = True
        log.askable[tuple(self._pixels([answer for answer in answers if answer.kind == "audit"]).T)] = False
        fits = log.revealed > 0 and (not log.fits or log.fits[-1] != log.asked)
        if fits:
            fit([session])
        if log.revealed:
            self._mean = self._judged()
            score = session.acquisition.score
            assert score is not None, "facility asks by margin"
            session.scores = score(self._mean.T[None]).numpy().reshape(self.frame.shape)
        else:
            self.labels = self._mean = session.scores = None
            self.version += 1
        return fits

    def label(self) -> None:
        """Label the image by the last round, smoothed along its edges."""
        if self._mean is None:
            return
        assert self.session is not None, "begin comes first"
        label = self.session.smoothed(self._mean).argmax(0).numpy().astype(np.uint8)
        self.labels, self._mean = self.session.log.overwrite(label.reshape(self.frame.shape)), None
        self.version += 1

    def ask(self, answers: Sequence[Answer], classes: int, audits: int, most: int) -> None:
        """Renew the questions: audit pixels that are due, then the pixels that the networks are least sure of.

        Args:
            answers: all answers that stand.
            classes: number of classes.
            audits: number of audit pixels wanted altogether.
            most: largest number of questions beside audits.
        """
        answered = {answer.cell for answer in answers}
        learnt = _learnt(answers)
        due = audits - (len(answers) - len(learnt))
        questions: list[Question] = [(cell, "audit") for cell in self._audit_pixels(due, answered)]
        wanted = min(AHEAD, most - len(learnt))
        if wanted > 0:
            if self.session is None:
                picks = self._log(answers, classes).ask(wanted, None)
            else:
                picks = self.session.ask(wanted + max(0, len(learnt) - self.session.log.asked))
            cells = np.ravel_multi_index(tuple(picks.T), self.frame.shape).tolist()
            planned = {cell for cell, _ in questions}
            questions += [(cell, "asked") for cell in cells if cell not in answered | planned][:wanted]
        self.questions = questions[:AHEAD]
        if self.session is not None:
            self._known = self._told_before()

    def right(self, answers: Sequence[Answer]) -> tuple[int, int]:
        """How many audit answers have a class, and how many of these the labels agree with."""
        audits = [answer for answer in answers if answer.kind == "audit" and answer.answer < UNSURE]
        if self.labels is None:
            return len(audits), 0
        flat = self.labels.ravel()
        return len(audits), sum(int(flat[answer.cell]) == answer.answer for answer in audits)

    def probabilities(self) -> NDArray[np.float32]:
        """`(C, h, w)` mean probabilities of the networks, smoothed along the edges of the image."""
        assert self.session is not None, "begin comes first"
        smoothed: NDArray[np.float32] = self.session.smoothed(self._judged()).numpy()
        return smoothed.reshape(-1, *self.frame.shape)

    def _judged(self) -> "torch.Tensor":
        """`(C, h * w)` mean probabilities of the networks."""
        import torch

        assert self.session is not None, "begin comes first"
        mean = torch.empty(self.session.classes, self.frame.shape[0] * self.frame.shape[1])
        with torch.no_grad():
            for where, members in self.session.probabilities():
                mean[:, where] = members.mean(0)
        return mean

    def _audit_pixels(self, count: int, answered: set[int]) -> list[int]:
        """The first cells of a random order that were not answered, so that the same ones come after a restart."""
        if count <= 0:
            return []
        if self._audit_order is None:
            draw = np.random.default_rng(seed_for(self.seed, "audit"))
            self._audit_order = draw.permutation(self.frame.shape[0] * self.frame.shape[1])
        left = (int(cell) for cell in self._audit_order if int(cell) not in answered)
        return [cell for cell, _ in zip(left, range(count), strict=False)]

    def _log(self, answers: Sequence[Answer], classes: int) -> Log:
        log = Log(classes, np.ones(self.frame.shape, np.bool_), self.seed)
        log.tell(self._pixels(answers), np.array([answer.answer for answer in answers], np.uint8))
        return log

    def _told_before(self) -> list[tuple[int, int]]:
        """Cell and answer of all pixels that the session was told."""
        assert self.session is not None, "begin comes first"
        log = self.session.log
        cells = np.ravel_multi_index(tuple(log.pixels.T), self.frame.shape)
        return list(zip(cells.tolist(), log.answers.tolist(), strict=True))

    def _pixels(self, answers: Sequence[Answer]) -> NDArray[np.int64]:
        """`(n, 2)` rows and columns in the smaller image."""
        cells = np.array([answer.cell for answer in answers], np.int64)
        return np.stack(np.divmod(cells, self.frame.shape[1]), 1)


def _learnt(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.kind != "audit"]


def _told(answers: Sequence[Answer]) -> list[tuple[int, int]]:
    return [(answer.cell, answer.answer) for answer in answers]


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))
