"""The models there are: models/<name>/, here or those that ship."""

import json
from pathlib import Path

from common import files, paths
from common.errors import UserError

SAVED_MODEL_FILE, LITERT_FILE, MODEL_JSON = 'saved_model.pb', 'model.tflite', 'model.json'
ARBITRARY = 'any'  # in place of styles in model.json: it takes any painting; the name of the one that ships
# photos are extended to multiples of the stride of the smallest maps; of fewer pixels these have nothing to reflect
STRIDE, MIN_SIDE_PX = 4, 16


def find(name):
    """The folder of a model: a path, or a name in ./models or in those that ship. Raises `UserError`."""
    rooms = [Path(), Path('models'), paths.MODELS]
    for room in rooms:
        if (room / name / MODEL_JSON).is_file():
            return room / name
    known = sorted({path.parent.name for room in rooms[1:] for path in room.glob(f'*/{MODEL_JSON}')})
    raise UserError(f'{name}: no such model; there are {", ".join(known) or "none"}, train makes others')


def read_model_json(folder, file):
    """What the model.json of a model says; `file` of it must be the one described. Raises `UserError`."""
    try:
        about = json.loads((folder / MODEL_JSON).read_text())
        if files.file_hash(folder / file) != about['files'][file]:
            raise ValueError(f'{file} is not the file that {MODEL_JSON} describes')
        if about['styles'] != ARBITRARY and not (
            about['styles'] and all(isinstance(name, str) for name in about['styles'])
        ):
            raise ValueError(f'{MODEL_JSON} names no styles')
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{folder}: not a whole model ({error}); train it again, or take another') from error
    return about
