"""Run a command of lowpix at low priority, in a process that ends with the one that started it.

python -m lowpix.annotate.background PARENT MODULE ARGUMENTS
"""

import os
import runpy
import sys

from lowpix.study.parent import end_with

NICENESS = 10

if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICENESS)
    del sys.argv[:2]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
