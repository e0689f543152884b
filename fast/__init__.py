"""Fast style transfer: feed-forward networks that stylize an image in one pass, their training, export and use."""
