"""Small networks, trained from scratch for each image. To add one, write a file here and list it in NETWORKS."""

from lowpix.errors import choose
from lowpix.networks.gp import GaussianProcess
from lowpix.networks.mixed import MixedNetwork
from lowpix.networks.network import Network, Parameters, Solver
from lowpix.networks.pixel_mlp import PixelMLP
from lowpix.networks.unet import UNet

NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (PixelMLP(), PixelMLP("mlp_float32", exact=True), GaussianProcess(), MixedNetwork(), UNet())
}


def find_network(name: str) -> Network:
    """The registered network of this name. Raises InputError, which lists the valid names, if there is none."""
    return choose("--network", name, NETWORKS)


__all__ = [
    "NETWORKS",
    "GaussianProcess",
    "MixedNetwork",
    "Network",
    "Parameters",
    "PixelMLP",
    "Solver",
    "UNet",
    "find_network",
]
