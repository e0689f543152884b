"""Stylize photos on many machines with Apache Beam: python -m fast.beam."""
