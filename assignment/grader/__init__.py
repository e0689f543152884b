"""How solutions are tried and judged."""
