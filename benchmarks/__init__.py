"""What things cost and how good pictures are, measured: python -m benchmarks.<name>."""
