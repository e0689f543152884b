"""Modules that need no other package of the project and, except for tf1.py, no TensorFlow."""
