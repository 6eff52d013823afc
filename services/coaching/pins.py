"""Measurements that a plan or PIP keeps, each under a name of its own, and what has become of them. Pure."""

from collections.abc import Iterable, Mapping

from stepladder.coaching.v1.measure_pb2 import Measured, PinDrift


def drifts_of(kept: Mapping[str, Measured], measured: Iterable[PinDrift]) -> dict[str, PinDrift]:
    """Of what was measured again, that which is something else than what is kept."""
    return {
        one.pin: PinDrift(pin=one.pin, before=kept[one.pin], now=one.now)
        for one in measured
        if one.pin in kept and _said(one.now) != _said(kept[one.pin])
    }


def is_told(drifts: Mapping[str, PinDrift], told: Mapping[str, PinDrift]) -> bool:
    """Whether drifts are those that were told before."""
    return {pin: _said(drift.now) for pin, drift in drifts.items()} == {
        pin: _said(drift.now) for pin, drift in told.items()
    }


def _said(measured: Measured) -> tuple[str, int, int, bool]:
    """What a measurement says; the same of other facts is no drift."""
    return measured.value, measured.numerator, measured.denominator, measured.disputed
