"""Networks before their training, which may travel to a machine without the files of a pretrained one."""

import pickle
import shutil
from pathlib import Path

import torch
from dataset_runs import save_tiny_mobilenet

from lowpix.segmenter.model import Fresh, build


def test_a_network_that_was_sent_needs_no_files(tmp_path: Path) -> None:
    weights = save_tiny_mobilenet(tmp_path / "weights")
    fresh = Fresh(f"hf:{weights}", 3, 8, False)
    expected = build(f"hf:{weights}", 3, 8, False, 7).state_dict()
    sent: Fresh = pickle.loads(pickle.dumps(fresh.sent(7)))
    shutil.rmtree(weights)
    for _ in range(2):  # training one leaves the next as it was
        network = sent(7)
        for name, value in network.state_dict().items():
            assert torch.equal(value, expected[name])
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1)
