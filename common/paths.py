"""Where what ships with the project lies."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTENT = ROOT / 'content' / 'astronaut.png'
STYLE = ROOT / 'styles' / 'starry_night.jpg'
# from the training of fast networks
HELD_OUT_PHOTOS = ROOT / 'content' / 'chelsea.png', ROOT / 'content' / 'coffee.png'
# from that of a network for any style, with all else in styles/
HELD_OUT_STYLES = STYLE, ROOT / 'styles' / 'great_wave.jpg'
WEIGHTS = ROOT / 'weights' / 'vgg19.mat'
MODELS = ROOT / 'models'
