"""The times of the frames of a clip, and their conversion for containers that have only a constant rate."""

import array
import itertools
import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

AVI_RATES = tuple(map(Fraction, (24, 25, 30, 50, 60))) + tuple(Fraction(1000 * n, 1001) for n in (24, 30, 60))
MAX_AVI_RATE = 240  # frames per second, of an AVI whose frames have exact times
AVI_TICK_SECONDS = Fraction(1, 1000)  # unit of the times in an AVI with an irregular rate
MAX_AVI_SHIFT_SECONDS = Fraction(1, 50)  # of all frames of an AVI against its audio
MAX_AVI_GAP_TICKS = 50_000  # between two frames; FFmpeg's muxer refuses 60,000


class Timeline:
    """The times of all frames of a clip.

    Attributes:
        time_base: Unit of time, in seconds.
        times: Time of each frame, increasing.
        duration: Duration of the last frame, 0 if it is unknown.
    """

    def __init__(self, time_base: Fraction, times: Iterable[int] = (), duration: int = 0) -> None:
        """Take the attributes."""
        self.time_base, self.times, self.duration = time_base, array.array('q', times), duration

    def add(self, time: int, duration: int) -> None:
        """Append a frame."""
        self.times.append(time)
        self.duration = duration

    def spans(self, rate: Fraction) -> Iterator[tuple[int, int]]:
        """Yield (time, duration) of each frame; `rate` is used for a single frame of unknown duration."""
        times, last = self.times, self.duration
        if last <= 0:
            last = times[-1] - times[-2] if len(times) > 1 else max(1, round(1 / rate / self.time_base))
        for time, following in itertools.pairwise(itertools.chain(times, [times[-1] + last])):
            yield time, following - time

    def constant_rate(self, rate: Fraction) -> 'Timeline':
        """Return the times in the unit that an AVI needs: the frame duration, or a fine unit for an irregular rate."""
        start, unit = self.times[0], self.time_base
        divisor = math.gcd(*(time - start for time in self.times))
        ticks = [divisor * unit] if divisor and MAX_AVI_RATE * divisor * unit >= 1 else []
        for tick in (*ticks, *(1 / candidate for candidate in (rate, *AVI_RATES))):
            first = round(start * unit / tick)
            times = array.array('q', (first + round((time - start) * unit / tick) for time in self.times))
            is_exact = all(abs((time - start) * unit - (rounded - first) * tick) <= max(unit, AVI_TICK_SECONDS)
                           for time, rounded in zip(self.times, times))
            if is_exact and abs(start * unit - first * tick) <= MAX_AVI_SHIFT_SECONDS and _is_increasing(times):
                return Timeline(tick, times, round(self.duration * unit / tick))
        gap = max((after - before for before, after in itertools.pairwise(self.times)), default=0) * unit
        tick, times = max(AVI_TICK_SECONDS, gap / MAX_AVI_GAP_TICKS), array.array('q')
        for time in self.times:
            times.append(max(round(time * unit / tick), times[-1] + 1 if times else 0))
        return Timeline(tick, times, round(self.duration * unit / tick))


def _is_increasing(times):
    """Return whether each time is above the one before."""
    return all(before < after for before, after in itertools.pairwise(times))
