"""What a study leaves behind: metrics, tables, label maps and pictures."""

from lowpix.record.metrics import accuracy, confusion, iou, miou
from lowpix.record.overview import Bound, as_text, median_to_target, overview, setting_label
from lowpix.record.plots import (
    Example,
    curves_picture,
    draw_curves,
    draw_example,
    draw_labels,
    draw_reached,
    draw_revealed,
    overview_picture,
)
from lowpix.record.pseudo_labels import read_label_map, write_confidence, write_label_map
from lowpix.record.run import Run
from lowpix.record.settings import read_settings
from lowpix.record.store import Study, Tables, open_study, read_summary
from lowpix.record.tables import CURVE_COLUMNS, REVEALED_COLUMNS, SUMMARY_COLUMNS, pixels_to, summarise

__all__ = [
    "CURVE_COLUMNS",
    "REVEALED_COLUMNS",
    "SUMMARY_COLUMNS",
    "Bound",
    "Example",
    "Run",
    "Study",
    "Tables",
    "accuracy",
    "as_text",
    "confusion",
    "curves_picture",
    "draw_curves",
    "draw_example",
    "draw_labels",
    "draw_reached",
    "draw_revealed",
    "iou",
    "median_to_target",
    "miou",
    "open_study",
    "overview",
    "overview_picture",
    "pixels_to",
    "read_label_map",
    "read_settings",
    "read_summary",
    "setting_label",
    "summarise",
    "write_confidence",
    "write_label_map",
]
