"""The commands of fast_style_transfer.py, a module each."""
