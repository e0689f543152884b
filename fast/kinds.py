"""The kinds of fast networks: which classes define, train and apply them."""

import importlib
from typing import NamedTuple

from fast.inference.models import ARBITRARY, MULTI_STYLE


class Kind(NamedTuple):
    """The classes of one kind of network, as dotted names, because inference must not import TensorFlow.

    Attributes:
        network: The class that builds the graph of the network.
        training: The class that trains it, a `fast.training.network_training.NetworkTraining`.
        inference: The class that applies an exported network, a `fast.inference.tiled.TiledModel`.
    """
    network: str
    training: str
    inference: str


# The keys are the values of "kind" in model.json. A new kind of network needs a line here and the three classes.
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
