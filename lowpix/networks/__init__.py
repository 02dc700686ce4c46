"""Small networks that are trained from scratch for each image. To add one: a file here and a line in NETWORKS."""

from lowpix.errors import InputError
from lowpix.networks.network import Network, Parameters
from lowpix.networks.pixel_mlp import PixelMLP
from lowpix.networks.unet import UNet

NETWORKS: dict[str, Network] = {network.name: network for network in (PixelMLP(), UNet())}


def find_network(name: str) -> Network:
    """The registered network of this name.

    Raises:
        InputError: no network has the name; the message lists those there are.
    """
    if name not in NETWORKS:
        raise InputError(f"--network {name}: unknown; choose from {', '.join(NETWORKS)}")
    return NETWORKS[name]


__all__ = ["NETWORKS", "Network", "Parameters", "PixelMLP", "UNet", "find_network"]
