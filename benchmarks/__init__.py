"""Benchmarks of speed, memory use and picture quality. Run one with `python -m benchmarks.<name>`."""
