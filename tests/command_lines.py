"""A command as `python -m` runs it, without the seconds that a new process takes to import torch."""

import runpy
import signal
import sys
from collections.abc import Sequence

import pytest


def run_command(module: str, arguments: Sequence[str]) -> int:
    """The exit code of `python -m module arguments`."""
    before = signal.getsignal(signal.SIGTERM)  # which commands handle
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, *arguments])
        if not hasattr(sys.modules.get(module), "__path__"):  # of a package another module runs
            patch.delitem(sys.modules, module, raising=False)  # runpy warns of what is loaded twice
        code: object = 0
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = end.code or 0
        finally:
            signal.signal(signal.SIGTERM, before)
    assert isinstance(code, int)
    return code
