"""The kinds of fast networks: which classes define, train and apply them."""

import importlib
from typing import NamedTuple

from fast.inference.models import ARBITRARY, MULTI_STYLE


class Kind(NamedTuple):
    """The classes of one kind of network, as dotted names, because inference must not import TensorFlow.

    Attributes:
        network: The graph of the network.
        training: Its training, a `fast.training.network_training.NetworkTraining`.
        inference: Applies an exported network, a `fast.inference.tiled.TiledModel`.
    """
    network: str
    training: str
    inference: str


# By the "kind" in model.json. A new kind of network is a line here and the three classes.
KINDS = {
    MULTI_STYLE: Kind('fast.networks.multi_style.TransformNet', 'fast.training.multi_style.MultiStyleTraining',
                      'fast.inference.multi_style.MultiStyleModel'),
    ARBITRARY: Kind('fast.networks.arbitrary.ArbitraryStyleNet', 'fast.training.arbitrary.ArbitraryStyleTraining',
                    'fast.inference.arbitrary.ArbitraryStyleModel'),
}


def load_class(name: str) -> type:
    """Import the class with a dotted name, such as `KINDS[kind].inference`."""
    module, _, cls = name.rpartition('.')
    return getattr(importlib.import_module(module), cls)
