"""Networks of a data set that are trained on the workers of a real Dask scheduler, which see none of our files."""

import pytest
from cluster_machines import two

__all__ = ["two"]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn", "undrawn_images")]
