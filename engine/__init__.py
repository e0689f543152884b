"""What the method stands on: runs and what they keep, sessions, flags, messages, L-BFGS, figures.

It knows no method.
"""

import sys
from pathlib import Path

from engine import interrupts, shipped

# Every program of the project imports this first; what it loads then takes seconds, in which Ctrl-C gave a page.
if Path(getattr(sys.modules['__main__'], '__file__', None) or '').resolve().parent in shipped.PROGRAMS:
    interrupts.while_loading()
