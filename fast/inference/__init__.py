"""Apply trained networks to images and clips with NumPy and LiteRT, without TensorFlow."""
