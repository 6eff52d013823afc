"""Whether somebody who gives signs of life, with the time that it has, is gone; for others whose time may differ."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta


class Leases:
    """Leases of others, looked at again and again by the clock `now`."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._ahead: dict[str, tuple[datetime, float]] = {}
        """Signs of life from what is the future here, and since when each is known (monotonic)."""

    def has_ended(self, whose: str, beat: datetime, seconds: float) -> bool:
        """Whether the last sign of life, aware, is older than `seconds`.

        One that lies further ahead is of a clock that is or was wrong, and would hold for hours: it counts for
        `seconds` from when it was first seen here.
        """
        lease, age = timedelta(seconds=seconds), self._now() - beat
        if age >= -lease:
            return age > lease
        known, since = self._ahead.get(whose, (None, 0.0))
        if known != beat:
            self._ahead[whose] = (beat, time.monotonic())
            return False
        return time.monotonic() - since > seconds
