"""The flags that the commands share."""
