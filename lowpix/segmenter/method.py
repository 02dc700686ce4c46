"""How the network of a data set is made and trained, for every study that trains one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lowpix.data import Dataset
from lowpix.segmenter.augment import Augmentation
from lowpix.segmenter.batches import Annotated, Batches
from lowpix.segmenter.evaluation import validator
from lowpix.segmenter.model import Fresh, Segmenter
from lowpix.segmenter.options import SegmenterOptions
from lowpix.segmenter.training import Recipe, class_weights, train


@dataclass(frozen=True)
class Method:
    """What all networks of a study share."""

    fresh: Fresh
    """Gives networks with their first weights."""
    batch: int
    class_weights: bool
    augmentation: Augmentation
    recipe: Recipe

    @classmethod
    def of(
        cls,
        options: SegmenterOptions,
        fresh: Fresh,
        crop: tuple[int, int],
        recipe: Recipe,
        grey: float = 0,
        blur: float = 0,
    ) -> "Method":
        """The method that follows from the options of a study."""
        return cls(
            fresh,
            options.batch,
            options.class_weights,
            Augmentation(crop, options.scale, options.zoom, options.flip, options.colour, grey, blur),
            recipe,
        )

    @property
    def scale(self) -> float:
        """Factor by which images are resized for the network."""
        return self.augmentation.scale

    def sent(self, seed: int) -> "Method":
        """The same with the fresh network of this seed, to travel with work to another machine."""
        return replace(self, fresh=self.fresh.sent(seed))

    def train(
        self,
        network: Segmenter,
        dataset: Dataset,
        labels: Annotated,
        pixels: NDArray[np.int64] | None,
        seed: int,
        device: torch.device,
        state: Path,
        *,
        epochs: int | None = None,
        validation: Dataset | None = None,
        validation_names: Sequence[str] = (),
        loaders: int = 0,
    ) -> list[dict[str, Any]]:
        """Train a network in place, as `lowpix.segmenter.training.train` does. Returns its history.

        Args:
            network: from `fresh`, or trained before.
            dataset: holds the images.
            labels: the training images by name, and their labels.
            pixels: number of labelled pixels of each class `(C,)`; read only for class weights.
            seed: seed of crops, augmentation and dropout.
            device: where the network is trained.
            state: file from which a stopped training goes on.
            epochs: instead of those of the recipe.
            validation: the split that chooses the checkpoint, if the recipe validates.
            validation_names: its images.
            loaders: threads that prepare minibatches ahead.
        """
        weights = None
        if self.class_weights:
            assert pixels is not None, "class weights follow from them"
            weights = class_weights(pixels)
        return train(
            network,
            Batches(dataset, labels, self.augmentation, self.batch, seed),
            replace(self.recipe, epochs=epochs or self.recipe.epochs),
            seed,
            device,
            state,
            class_weights=weights,
            validate=validator(validation, validation_names, self.scale, device),
            loaders=loaders,
        )
