"""Paths of the files that ship with the project."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTENT = ROOT / 'content' / 'astronaut.png'
STYLE = ROOT / 'styles' / 'starry_night.jpg'
# photos that the training of fast networks leaves out
HELD_OUT_PHOTOS = ROOT / 'content' / 'chelsea.png', ROOT / 'content' / 'coffee.png'
# paintings that the training of the arbitrary style network leaves out, like everything else in styles/
HELD_OUT_STYLES = STYLE, ROOT / 'styles' / 'great_wave.jpg'
WEIGHTS = ROOT / 'weights' / 'vgg19.mat'
PRUNED_WEIGHTS = WEIGHTS.with_name('vgg19-half.mat')  # used by some stages of recipes, together with WEIGHTS
MODELS = ROOT / 'models'
