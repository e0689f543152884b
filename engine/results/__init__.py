"""The files that a finished run leaves for people."""
