"""Names of the layers of VGG-19."""

# Configuration E of Simonyan and Zisserman (2014) up to its last pooling. The position of a layer in this tuple is its
# index in the .mat file.
LAYERS = tuple(name for block, depth in enumerate((2, 2, 4, 4, 4), start=1)
               for name in (*(f'{kind}{block}_{i}' for i in range(1, depth + 1) for kind in ('conv', 'relu')),
                            f'pool{block}'))
CONVOLUTIONS = tuple(name for name in LAYERS if name.startswith('conv'))
BEFORE_RELU = '_pre'  # suffix: conv4_2 is the map after its ReLU, as in CS20, and conv4_2_pre the one before it
FEATURES = CONVOLUTIONS + tuple(name + BEFORE_RELU for name in CONVOLUTIONS)
