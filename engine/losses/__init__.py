"""Step 2 of the handout: features, style statistics, guidance masks and the losses beyond CS20's."""
