"""What a figure is, and how a value and its limit are measured side by side."""

import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Measured:
    """A value and the limit found in the same run, both in the figure's unit; `also` are further numbers."""

    value: float
    limit: float
    also: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """Something that `make bench` measures.

    Attributes:
        goal: what value / limit should be, at least for `higher`, at most for `lower`.
        does: one sentence for people.
        measure: measures it; true asks for a quick run with small numbers.
    """

    name: str
    unit: str
    better: Literal["higher", "lower"]
    goal: float
    does: str
    measure: Callable[[bool], Coroutine[Any, Any, Measured]]

    def line(self, measured: Measured) -> dict[str, str | float]:
        """What is printed as one line of JSON."""
        return {
            "name": self.name,
            "value": _digits(measured.value),
            "unit": self.unit,
            "limit": _digits(measured.limit),
            "ratio": _digits(measured.value / measured.limit),
            "better": self.better,
            "goal": self.goal,
            **{name: _digits(number) for name, number in measured.also.items()},
        }


def tell(text: str) -> None:
    """Progress, for people."""
    sys.stderr.write(f"{text}\n")


Measure = Callable[[], Coroutine[Any, Any, float]]


async def compare(rounds: int, value: Measure, limit: Measure) -> Measured:
    """Medians of both, after one round to warm up; they take turns, so that noise hits both."""
    await value()
    await limit()
    values: list[float] = []
    limits: list[float] = []
    for number in range(rounds):
        for measure, found in ((value, values), (limit, limits)) if number % 2 else ((limit, limits), (value, values)):
            found.append(await measure())
        tell(f"  round {number + 1} of {rounds}: {values[-1]:,.4g}, limit {limits[-1]:,.4g}")
    return Measured(median(values), median(limits))


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began


def _digits(number: float) -> float:
    return float(f"{number:.4g}")
