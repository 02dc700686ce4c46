"""How few labelled pixels does it take to segment an image, and then a whole data set?"""

from lowpix.data import IGNORE, Dataset, open_dataset, spread
from lowpix.errors import InputError
from lowpix.learning import Model, label_image, load_model
from lowpix.record import Run, Study, Tables, open_study, overview, pixels_to
from lowpix.reveal import (
    UNSURE,
    VOID,
    ImageSession,
    LabelMapOracle,
    Prediction,
    Schedule,
    Selection,
    Setting,
    fit,
    run_study,
)

__all__ = [
    "IGNORE",
    "UNSURE",
    "VOID",
    "Dataset",
    "ImageSession",
    "InputError",
    "LabelMapOracle",
    "Model",
    "Prediction",
    "Run",
    "Schedule",
    "Selection",
    "Setting",
    "Study",
    "Tables",
    "fit",
    "label_image",
    "load_model",
    "open_dataset",
    "open_study",
    "overview",
    "pixels_to",
    "run_study",
    "spread",
]
