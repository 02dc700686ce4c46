"""How few labelled pixels does it take to segment an image, and then a whole data set?

What can be imported from here is listed in `__init__.pyi`. A name is loaded when it is first used: torch
takes seconds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
