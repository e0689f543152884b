"""The network of any style becomes models/<name>/, as `exporting` has it; and is read again."""


from common.errors import UserError
from common.tf1 import tf
from fast import exporting, models
from fast.any_network import MAPS, AnyNet

PARAMETER = r'(code|conv|decoder|fine|residual|up)\w*/(mean|components|weights|biases|bias|gamma|beta|share)'


def write(folder, parameters, about):
    """Export an `AnyNet`; the folder may hold an older one.

    parameters: name -> array; about: what model.json says beside the files' hashes and that it takes any style
    Two signatures, for one photo: `encode`, of `photos` [1, H, W, 3] of 0-255, height and width multiples of 8, gives
    its MAPS; `decode` takes these with a style's statistics and what else `AnyNet.decode` does, and gives `pictures`
    and their `own` statistics.
    """
    def build():
        network = AnyNet(parameters=parameters)
        photos = tf.placeholder(tf.float32, [1, None, None, 3])
        maps = dict(zip(MAPS, network.encode(photos)))
        mapped = {name: tf.placeholder(tf.float32, [1, None, None, x.shape[-1]]) for name, x in maps.items()}
        size = 2 * sum(value.shape[1] for name, value in parameters.items() if name.endswith('gamma'))
        more = {'description': tf.placeholder(tf.float32, [1, len(parameters['code/mean'])]),
                'statistics': tf.placeholder(tf.float32, [1, size]), 'given': tf.placeholder(tf.float32, [])}
        outputs = dict(zip(('pictures', 'own'), network.decode(mapped.values(), **more)))
        return {'encode': ({'photos': photos}, maps), 'decode': (mapped | more, outputs)}
    exporting.write_model(folder, about | {'styles': models.ANY, 'maps': MAPS}, build, build)


def read(folder):
    """The `exporting.Trained` network in a model's folder.

    Raises `UserError` for a folder that is no such model, or is damaged.
    """
    about, parameters = exporting.read_model(folder, PARAMETER)
    if about['styles'] != models.ANY:
        raise UserError(f'{folder}: has styles of its own and takes no others; name a model that takes any')
    if list(about['maps']) != list(MAPS) or 'residual2_1_1/weights' not in parameters:
        raise UserError(f'{folder}: of an older network; it stylises as before, but no training begins with it')
    return exporting.Trained(parameters, about['styles'], about['files'][models.SAVED_MODEL])
