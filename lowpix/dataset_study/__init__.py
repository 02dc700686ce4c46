"""Train one network for a data set on pseudo-labels, and compare it with one trained on full annotation."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
