"""What a study leaves behind: metrics, tables, label maps and pictures."""

from lowpix.record.comparable import comparable, group_images, side_by_side
from lowpix.record.comparison import Comparison, compare_settings, read_comparison
from lowpix.record.comparison_plot import comparison_picture
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
    "Comparison",
    "Example",
    "Run",
    "Study",
    "Tables",
    "accuracy",
    "as_text",
    "comparable",
    "compare_settings",
    "comparison_picture",
    "confusion",
    "curves_picture",
    "draw_curves",
    "draw_example",
    "draw_labels",
    "draw_reached",
    "draw_revealed",
    "group_images",
    "iou",
    "median_to_target",
    "miou",
    "open_study",
    "overview",
    "overview_picture",
    "pixels_to",
    "read_comparison",
    "read_label_map",
    "read_settings",
    "read_summary",
    "setting_label",
    "side_by_side",
    "summarise",
    "write_confidence",
    "write_label_map",
]
