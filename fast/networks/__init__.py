"""The networks as graphs, and what they are exported as."""
