"""The network of any style: a narrow VGG-19 down to conv4_1, and convolutions from its maps back up to a picture.

Between the two the maps are given a style's statistics, see `transforms`, which makes one network do for any painting
(Huang and Belongie 2017); at four depths, as the shallower ones have the colours and the finest strokes.
"""

from engine import quiet  # before tensorflow

import tensorflow.compat.v1 as tf

from fast.network import FAINT, NOTCH, convolved, doubled

# channels of the narrow VGG-19's convolutions
WIDTHS = {'conv1_1': 16, 'conv1_2': 16, 'conv2_1': 32, 'conv2_2': 32, 'conv3_1': 64, 'conv3_2': 64, 'conv3_3': 64,
          'conv3_4': 64, 'conv4_1': 192}
MAPS = 'pixels', 'conv2_1', 'conv3_1', 'conv4_1'  # what is given a style's statistics
BLOCKS = {4: 2, 3: 1}  # residual ones at the resolution of conv4_1 and conv3_1
TIMID = 0.3  # share of He's deviation at the end of a residual block, which has no norm


class AnyNet:
    """encode: photos -> maps; decode: maps with a style's statistics -> pictures.

    encoder: name -> array, from `narrowing.narrowed`; decoder: likewise, for one that is trained; without it
    `parameters` are variables, with first values by `seed`
    """

    def __init__(self, encoder, decoder=None, seed=0):
        self.encoder, self.fixed, self.seed = encoder, decoder, seed
        self.parameters = {}  # of the decoder: name -> variable, or constant

    def encode(self, photos):
        """MAPS of photos [B, H, W, 3] of 0-255, height and width multiples of 8: a list of [B, H', W', N]."""
        x = pixels = photos / 127.5 - 1
        maps = {'pixels': pixels}
        for name in WIDTHS:
            if name.endswith('_1') and name != 'conv1_1':
                x = tf.nn.avg_pool2d(x, 2, 2, 'VALID')
            W, b = (tf.constant(self.encoder[f'{name}/{kind}'], name=f'{name}/{kind}') for kind in ('weights', 'biases'))
            x = maps[name] = tf.nn.relu(convolved(x, W) + b)
        return [maps[name] for name in MAPS]

    def decode(self, maps):
        """The pictures [B, H, W, 3], 0-255 and somewhat beyond, of MAPS."""
        pixels, conv2_1, conv3_1, conv4_1 = maps
        x = self._layer(conv4_1, 'decoder4', 128)
        x = self._blocks(x, 4)
        x = self._layer(x, 'up3', 64, doubled)
        x = self._layer(tf.concat([x, conv3_1], axis=3), 'decoder3', 64)
        x = self._blocks(x, 3)
        x = self._layer(x, 'up2', 32, doubled)
        x = self._layer(tf.concat([x, conv2_1, tf.nn.space_to_depth(pixels, 2)], axis=3), 'decoder2', 32)
        x = self._layer(x, 'decoder1', 32)
        x = doubled(x, self._filters('decoder0', 32, 3, FAINT), NOTCH)
        return 127.5 + 150 * tf.tanh(x + self._biases('decoder0', 3))

    def _blocks(self, x, level):
        channels = int(x.shape[-1])
        for i in range(1, BLOCKS[level] + 1):
            y = self._layer(x, f'residual{level}_{i}_1', channels)
            x += self._layer(y, f'residual{level}_{i}_2', channels, relu=False, deviation=TIMID)
        return x

    def _layer(self, x, name, channels, convolve=convolved, relu=True, deviation=1.):
        """A convolution, its biases, a ReLU. No norm: it would take the statistics away again."""
        with tf.name_scope(name):
            x = convolve(x, self._filters(name, int(x.shape[-1]), channels, deviation)) + self._biases(name, channels)
            return tf.nn.relu(x) if relu else x

    def _filters(self, name, channels, new, deviation=1.):
        """deviation: of the first values, in He's √(2 / inputs)."""
        initializer = tf.initializers.variance_scaling(2 * deviation ** 2, 'fan_in', 'truncated_normal',
                                                       seed=self.seed + len(self.parameters))
        return self._parameter(f'{name}/weights', [3, 3, channels, new], initializer)

    def _biases(self, name, channels):
        return self._parameter(f'{name}/biases', [channels], tf.zeros_initializer())

    def _parameter(self, name, shape, initializer):
        if name not in self.parameters:
            with tf.name_scope(None):  # constants have these names too, by which an exported network is read again
                self.parameters[name] = (tf.get_variable(name, shape, initializer=initializer) if self.fixed is None
                                         else tf.constant(self.fixed[name], name=name))
        return self.parameters[name]
