"""What needs nothing of the rest, and no TensorFlow; tf1.py apart, which imports it."""
