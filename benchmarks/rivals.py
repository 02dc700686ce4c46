"""Other methods for the same revealed pixels: a random forest and a random walker."""

# mypy: disable-error-code=no-untyped-call

import warnings

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab
from skimage.feature import multiscale_basic_features
from skimage.future import TrainableSegmenter
from skimage.segmentation import random_walker
from sklearn.ensemble import RandomForestClassifier

TREES = 100


class Forest:
    """scikit-image's trainable segmenter with a random forest. Its features are computed once, like ours."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        features = multiscale_basic_features(image, channel_axis=-1)
        forest = RandomForestClassifier(TREES, n_jobs=1, random_state=0)
        self.segmenter = TrainableSegmenter(forest, lambda _: features)  # it calls this in each fit and predict
        self.image = image

    def labels(self, question: NDArray[np.int64], answers: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Train on pixels `(n, 2)` with classes `(n,)`, and label all pixels: `(H, W)`."""
        markers = np.zeros(self.image.shape[:2], np.uint8)  # 0: not revealed
        markers[tuple(question.T)] = answers + 1
        self.segmenter.fit(self.image, markers)
        predicted: NDArray[np.uint8] = self.segmenter.predict(self.image)
        return predicted - 1


class Walker:
    """scikit-image's random walker on Lab colours. A pixel gets the class that a random walk likely meets first.

    The settings are scikit-image's defaults. Another `beta`, colours divided by 100, a smaller `tol` and the plain
    conjugate-gradient solver were slower, not better, or both.
    """

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.lab = rgb2lab(image)

    def labels(self, question: NDArray[np.int64], answers: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """As `Forest.labels`; nothing is trained."""
        present, indices = np.unique(answers, return_inverse=True)
        markers = np.zeros(self.lab.shape[:2], np.int32)
        markers[tuple(question.T)] = indices + 1
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The probability range")  # exceeds 0..1 by the solver's tolerance
            walked = random_walker(self.lab, markers, channel_axis=-1)
        labels: NDArray[np.uint8] = present[walked - 1]
        return labels
