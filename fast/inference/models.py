"""Find the folder of a trained model, models/<name>/, and read its model.json."""

import json
from pathlib import Path

from common import files, paths
from common.errors import UserError

SAVED_MODEL_FILE, LITERT_FILE, MODEL_JSON = 'saved_model.pb', 'model.tflite', 'model.json'
# Value of "styles" in the model.json of an arbitrary-style model; also the name of the one that ships.
ARBITRARY = 'any'
# Photos are padded to multiples of STRIDE, the stride of a multi-style network's smallest maps. Below MIN_SIDE_PX these
# maps have too few pixels for padding by reflection.
STRIDE, MIN_SIDE_PX = 4, 16


def find(name: str) -> Path:
    """Return the folder of a model.

    Args:
        name: A path, or a name in ./models or among the models that ship.

    Raises:
        UserError: There is no such model.
    """
    folders = [Path(), Path('models'), paths.MODELS]
    for folder in folders:
        if (folder / name / MODEL_JSON).is_file():
            return folder / name
    known = sorted({path.parent.name for folder in folders[1:] for path in folder.glob(f'*/{MODEL_JSON}')})
    raise UserError(f'{name}: no such model; available models: {", ".join(known) or "none"}; choose '
                    'one of these or train a new one')


def read_model_json(folder: Path, file: str) -> dict:
    """Read and check the model.json of a model.

    Args:
        folder: The model's folder.
        file: Name of the model file that is about to be used; its hash must be the one that model.json has.

    Returns:
        The content of model.json.

    Raises:
        UserError: A file is missing or damaged, or the two do not belong together.
    """
    try:
        about = json.loads((folder / MODEL_JSON).read_text())
        if files.file_hash(folder / file) != about['files'][file]:
            raise ValueError(f'{file} is not the file that {MODEL_JSON} describes')
        if about['styles'] != ARBITRARY and not (
            about['styles'] and all(isinstance(name, str) for name in about['styles'])
        ):
            raise ValueError(f'{MODEL_JSON} names no styles')
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{folder}: not a complete model ({error}); train it again or choose another') from error
    return about
