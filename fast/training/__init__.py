"""Training of the feed-forward networks, on one machine or a cluster, and the losses that only they have."""
