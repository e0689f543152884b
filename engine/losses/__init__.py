"""Step 2: what of the images is compared."""
