"""The networks as TensorFlow graphs, their export to files, and channel pruning of VGG-19."""
