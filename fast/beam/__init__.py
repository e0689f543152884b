"""Photos by the million, as an Apache Beam pipeline."""
