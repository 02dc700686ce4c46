"""How few labelled pixels does it take to segment an image, and then a whole data set?

`__init__.pyi` lists what can be imported from here. A name is loaded on first use, because importing torch takes
seconds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
