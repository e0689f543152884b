"""Fast style transfer: networks that stylize in one pass, what they are trained on, how they are kept and applied."""
