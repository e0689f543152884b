"""Compare the content loss of our multi-style network with that of the optimizer at equal style loss.

    python -m benchmarks.tradeoff

The benchmark uses the held-out photos at 256×256, some styles of the bundled model, and the losses that the model was
trained with. The optimizer trains the pixels for 150 iterations at several style weights β. Its content loss at the
network's style loss is interpolated between these, on logarithmic axes.
"""

import argparse
import dataclasses
import sys
import tempfile
from pathlib import Path

import numpy as np

import recipes
import utils
from common import paths
from fast.inference import models, multi_style
from fast.training.multi_style import STYLE_SIDE_PX
from style_transfer import StyleTransfer

SIDE, ITERATIONS = 256, 150
BETAS = 0.25, 1., 4.
STYLES = 'starry_night', 'great_wave', 'woodcut'


def losses(folder: Path | str, content: Path, style: Path, beta: float,
           picture: np.ndarray | None = None) -> tuple[float, float]:
    """Measure a picture, or the optimizer's picture.

    Args:
        folder: Folder for the files of the run.
        content: Path of the photo.
        style: Path of the style image.
        beta: Style weight β of the optimizer.
        picture: The picture to measure, [1, SIDE, SIDE, 3] from 0 to 255; None to train one.

    Returns:
        (content loss, style loss).
    """
    recipe = dataclasses.replace(recipes.FAST, style_weight=beta, style_scale=STYLE_SIDE_PX / SIDE, learning_rate=5.,
                                 pixels='0-255', iterations=ITERATIONS)
    machine = StyleTransfer(content, style, SIDE, SIDE, recipe=recipe, initial_img=picture, name='r',
                            vgg=paths.WEIGHTS, precision='float32', folder=folder)
    machine.build()
    machine.train(1 if picture is not None else ITERATIONS, restart=True, write_results=False)
    row = machine.run.history[0] if picture is not None else machine.run.history[-1]
    return float(row['content_loss']), float(row['style_loss'])


def main() -> None:
    """Print the table and the mean ratio of the content losses."""
    argparse.ArgumentParser(description=__doc__.split('\n')[0]).parse_args()
    model = multi_style.MultiStyleModel(models.find('many'))
    print('| photo | style | the network: content, style | the optimizer: content, style at β '
          f'{", ".join(map(str, BETAS))} | content, network over optimizer |\n|---|---|---|---|---|')
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        for content in paths.HELD_OUT_PHOTOS:
            photo = utils.get_resized_image(content, SIDE, SIDE)
            for name in STYLES:
                style = paths.STYLE.with_name(f'{name}.jpg')
                picture = model(photo[0], multi_style.parse_style_weights(name, model.styles))[None]
                ours = losses(folder, content, style, 1., picture)
                theirs = sorted((losses(folder, content, style, beta) for beta in BETAS), key=lambda pair: pair[1])
                contents, styles = np.log(np.transpose(theirs))
                content_at_equal_style = np.exp(np.interp(np.log(ours[1]), styles, contents))
                inside = styles[0] <= np.log(ours[1]) <= styles[-1]
                ratios.append(ours[0] / content_at_equal_style)
                pairs = '; '.join(f'{c:.3f}, {s:.3f}' for c, s in reversed(theirs))
                print(f'| {content.stem} | {name} | {ours[0]:.3f}, {ours[1]:.3f} | {pairs} | {ratios[-1]:.2f}'
                      f'{"" if inside else " (style loss out of range)"} |', flush=True)
    print(f'\nmean ratio: {np.mean(ratios):.2f}')


if __name__ == '__main__':
    sys.exit(main())
