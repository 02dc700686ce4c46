"""What a study leaves behind: metrics, tables, label maps and pictures."""

from lowpix.record.metrics import accuracy, confusion, iou, miou
from lowpix.record.pseudo_labels import read_label_map, write_confidence, write_label_map

__all__ = [
    "accuracy",
    "confusion",
    "iou",
    "miou",
    "read_label_map",
    "write_confidence",
    "write_label_map",
]
