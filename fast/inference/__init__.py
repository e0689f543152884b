"""Trained networks applied to photos and clips, by NumPy and LiteRT alone."""
