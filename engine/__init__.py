"""Engine of the optimization: losses, optimizers, runs on disk, result files and shared command-line flags."""
