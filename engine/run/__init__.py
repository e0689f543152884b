"""Steps 4 and 5 of the handout: the files of a run, the training loop, sessions and memory."""
