"""Training data for the feed-forward networks: crops of photos, and synthetic paintings."""
