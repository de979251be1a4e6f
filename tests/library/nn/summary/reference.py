"""torchinfo's summary of LeNet-5 and of every network of networks.py, as JSON."""

import json
import sys
from pathlib import Path

import torchinfo

sys.path += [str(Path(__file__).resolve().parents[depth]) for depth in (1, 3)]
from common.lenet5 import LeNet5  # noqa: E402
from networks import NETWORKS, Network  # noqa: E402

found = {}
for name, network in (NETWORKS | {"lenet5": Network((1, 28, 28), LeNet5)}).items():
    summary = torchinfo.summary(network.make(), (1, *network.input), dtypes=[network.dtype], verbose=0)
    layers = [
        (layer.var_name, layer.class_name, list(layer.output_size[1:]), layer.num_params, layer.macs)
        for layer in summary.summary_list
        # A Sequential of no modules is no layer.
        if layer.is_leaf_layer and layer.executed and layer.class_name != "Sequential"
    ]
    found[name] = (summary.total_params, summary.total_mult_adds, layers)
Path(sys.argv[1]).write_text(json.dumps(found))
