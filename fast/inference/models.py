"""Find the folder of a trained model, models/<name>/, and read its model.json."""

import json
from pathlib import Path
from typing import NamedTuple

from common import files, paths
from common.errors import UserError

SAVED_MODEL_FILE, LITERT_FILE, MODEL_JSON = 'saved_model.pb', 'model.tflite', 'model.json'
MULTI_STYLE, ARBITRARY = 'multi-style', 'arbitrary'  # kinds of models
ANY_STYLE = 'any'  # value of "styles" in the model.json of an arbitrary style model
MULTI_STYLE_NAME, ARBITRARY_NAME = 'many', 'any'  # names of the two models that ship
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


class ModelInfo(NamedTuple):
    """Information about a trained model, which is read without loading its network.

    Attributes:
        folder: The model's folder.
        kind: A key of `fast.kinds.KINDS`.
        about: Content of model.json.
    """
    folder: Path
    kind: str
    about: dict

    @property
    def styles(self) -> list[str]:
        """The names of the model's own styles; an arbitrary style model has none."""
        return [] if self.kind == ARBITRARY else list(self.about['styles'])


def load(folder: Path, file: str = LITERT_FILE) -> ModelInfo:
    """Read and check the model.json of a model.

    Args:
        folder: The model's folder.
        file: Name of the model file that is about to be used; its hash must be the one that model.json has.

    Raises:
        UserError: A file is missing or damaged, or the two do not belong together.
    """
    try:
        about = json.loads((folder / MODEL_JSON).read_text())
        if files.file_hash(folder / file) != about['files'][file]:
            raise ValueError(f'{file} is not the file that {MODEL_JSON} describes')
        # The model.json of versions before 1.0 does not name the kind.
        kind = about.get('kind', ARBITRARY if about['styles'] == ANY_STYLE else MULTI_STYLE)
        if kind == MULTI_STYLE and not (about['styles'] and all(isinstance(name, str) for name in about['styles'])):
            raise ValueError(f'{MODEL_JSON} names no styles')
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f'{folder}: not a complete model ({error}); train it again or choose another') from error
    return ModelInfo(folder, kind, about)
