"""Ctrl-C: asked once, a training ends in order."""

import signal
import threading


class StopSignal:
    """Within `with StopSignal() as stop`, the first Ctrl-C (or SIGTERM) sets `stop.requested`; the second interrupts."""

    requested = False

    def __enter__(self):
        self._previous = {}
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._request)
        return self

    def _request(self, number, frame):
        self.requested = True
        signal.signal(number, self._previous[number])

    def __exit__(self, *exception):
        for number, handler in self._previous.items():
            signal.signal(number, handler)
