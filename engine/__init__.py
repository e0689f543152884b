"""What the method stands on: runs and what they keep, sessions, flags, messages, L-BFGS, figures."""
