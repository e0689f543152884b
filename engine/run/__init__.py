"""Steps 4 and 5: what a run keeps on disk, and how its sessions compute."""
