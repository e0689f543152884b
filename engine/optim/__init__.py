"""Step 3: how the pixels move, and at which sizes."""
