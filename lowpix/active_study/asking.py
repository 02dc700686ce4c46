"""A round's pixels: score every training image with the network, choose pixels, and ask the oracle."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.data import IGNORE, Dataset
from lowpix.reveal.acquisition import Acquisition
from lowpix.reveal.log import Log
from lowpix.reveal.oracle import LabelMapOracle
from lowpix.seeds import seed_for
from lowpix.segmenter.model import Segmenter
from lowpix.segmenter.sampling import kept_channels, probabilities


@dataclass(frozen=True)
class Asking:
    """How pixels are chosen and answered. The fields are explained in `lowpix.active_study.Options`."""

    percent: float
    selection: str
    spacing: float
    score_stride: int
    dropout: float
    samples: int
    noise: float
    refusal: float
    border_noise: float
    ask_void: bool
    scale: float

    def takes_top(self, acquisition: Acquisition) -> bool:
        """Whether the highest scores are taken, and not a draw among many; noisy scores are a draw themselves."""
        return self.selection == "top" or acquisition.noisy

    def selection_name(self, acquisition: Acquisition) -> str:
        """How pixels are selected, as written in tables."""
        if acquisition.spread is not None:
            return acquisition.name
        if acquisition.name == "random":
            return "uniform"
        if self.takes_top(acquisition):
            return f"top, {self.spacing:g} px apart"
        return f"random among the top {self.percent:g} %"

    @property
    def oracle_name(self) -> str:
        """The oracle, as written in tables."""
        errs = self.noise or self.refusal
        at_borders = f", {self.border_noise:g} wrong at borders" if self.border_noise else ""
        return "label map" + (f", {self.noise:g} wrong, {self.refusal:g} refused" if errs else "") + at_borders

    def ask(
        self,
        dataset: Dataset,
        logs: Mapping[str, Log],
        count: int,
        acquisition: Acquisition,
        network: Segmenter | None,
        seed: int,
        device: torch.device,
    ) -> None:
        """Ask for `count` pixels of each image, and tell the logs. Images are read one at a time.

        Args:
            dataset: holds the images, and the label maps that answer.
            logs: the log of each image, changed in place.
            count: fewer are asked of an image whose candidate pixels run out.
            acquisition: gives the scores.
            network: in any mode; None draws uniformly.
            seed: of Monte-Carlo samples and noise; another one each round, the same for all settings.
            device: where the network is.
        """
        kept = None
        if network is not None:
            network.eval()
            if acquisition.members and network.head is not None:
                kept = kept_channels(network, self.samples, self.dropout, seed_for(seed, "samples"))
        for name, log in logs.items():
            truth = dataset.labels(name)
            assert truth is not None, "checked before the study"
            log.askable = np.ones(truth.shape, np.bool_) if self.ask_void else truth != IGNORE
            if acquisition.spread is not None and log.asked:
                question = acquisition.spread(log.candidates(), log.pixels, count, seed_for(log.seed, "spread"))
            elif network is None or acquisition.name == "random" or acquisition.score is None:
                question = log.ask(count, None)
            else:
                scores = self._scores(
                    dataset.image(name), acquisition, network, kept, seed_for(seed, name), device
                )
                top = self.takes_top(acquisition)
                question = log.ask(count, scores, self.spacing, None if top else self.percent)
            oracle = LabelMapOracle(
                truth,
                log.classes,
                self.noise,
                self.refusal,
                seed_for(log.seed, "oracle"),
                self.border_noise,
            )
            log.tell(question, oracle(question))
            log.askable = None  # of all images together these maps would fill the memory

    def _scores(
        self,
        image: NDArray[np.uint8],
        acquisition: Acquisition,
        network: Segmenter,
        kept: torch.Tensor | None,
        seed: int,
        device: torch.device,
    ) -> NDArray[np.float32]:
        """The score of every pixel `(H, W)`: that of the nearest point of the grid."""
        assert acquisition.score is not None
        p = probabilities(network, image, self.scale, self.score_stride, device, kept)
        height, width = p.shape[-2:]
        noise: list[torch.Tensor] = []
        if acquisition.noisy:
            draw = torch.Generator().manual_seed(seed_for(seed, "noise"))
            noise.append(torch.rand(height * width, generator=draw).to(device))
        # (M, n, C) in shape, but class-major in memory
        coarse = acquisition.score(p.flatten(2).transpose(1, 2), *noise).view(height, width)
        rows, columns = (
            torch.arange(side, device=device) * points // side
            for side, points in zip(image.shape[:2], (height, width), strict=True)
        )
        scores: NDArray[np.float32] = coarse[rows[:, None], columns].float().cpu().numpy()
        return scores
