"""One network for a data set: what it learns from, how it is trained, what it makes of new images."""

from lowpix.learning.augment import Augmentation, Sample
from lowpix.learning.evaluation import dataset_miou, label_image, label_images
from lowpix.learning.labels import SETTINGS, Annotation, Material, survey
from lowpix.learning.samples import Batches
from lowpix.learning.segmenter import Model, Segmenter, build, load_model, save_model
from lowpix.learning.training import Recipe, class_weights, train

__all__ = [
    "SETTINGS",
    "Annotation",
    "Augmentation",
    "Batches",
    "Material",
    "Model",
    "Recipe",
    "Sample",
    "Segmenter",
    "build",
    "class_weights",
    "dataset_miou",
    "label_image",
    "label_images",
    "load_model",
    "save_model",
    "survey",
    "train",
]
