"""Subcommands of fast_style_transfer.py, one module each, with the functions `add_flags` and `run`."""
