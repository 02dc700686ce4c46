"""The reveal loop and its parts: sessions, acquisition, selection, oracles, schedules, studies."""

from lowpix.reveal.loop import Case, reveal
from lowpix.reveal.oracle import UNSURE, VOID, LabelMapOracle
from lowpix.reveal.session import ImageSession, Prediction, Selection, fit
from lowpix.reveal.setting import Setting
from lowpix.reveal.stopping import Schedule
from lowpix.reveal.study import run_study

__all__ = [
    "UNSURE",
    "VOID",
    "Case",
    "ImageSession",
    "LabelMapOracle",
    "Prediction",
    "Schedule",
    "Selection",
    "Setting",
    "fit",
    "reveal",
    "run_study",
]
