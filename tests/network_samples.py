"""What tests of networks share: how far rounding may go, and an ensemble of MLPs written out in float64."""

import torch

from lowpix.networks import Parameters


def tolerance(inputs: torch.Tensor) -> dict[str, float]:
    """Of logits: three layers in bfloat16, of 8 bits, lose up to some hundredths."""
    return {"rtol": 0.02, "atol": 0.06} if inputs.dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-4}


def plain_logits(parameters: Parameters, inputs: torch.Tensor) -> torch.Tensor:
    """`(M, C, N)` float64: what each member of `PixelMLP` says of features `(N, F)`."""
    values = {name: value.double() for name, value in parameters.items()}
    hidden = inputs.double().T
    for layer in (1, 2):
        hidden = (values[f"weight{layer}"] @ hidden + values[f"bias{layer}"]).relu()
    return values["weight3"] @ hidden + values["bias3"]


def plain_mean(parameters: Parameters, inputs: torch.Tensor) -> torch.Tensor:
    """`(N, C)` float64: their mean probabilities."""
    return plain_logits(parameters, inputs).softmax(1).mean(0).T
