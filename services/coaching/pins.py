"""Measurements that a plan or PIP keeps, each under a name of its own, and what has become of them. Pure."""

from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

from stepladder.coaching.v1.measure_pb2 import Measured, PinDrift


def drifts_of(
    kept: Mapping[str, Measured], measured: Iterable[PinDrift], told: Mapping[str, PinDrift]
) -> dict[str, PinDrift]:
    """What is something else now than what is kept; what was told before, of what was not measured again.

    What was measured of other days is of what was kept under that name before, such as a result before an extension.
    """
    now = {one.pin: one.now for one in measured if one.pin in kept and _days(one.now) == _days(kept[one.pin])}
    return {
        pin: PinDrift(pin=pin, before=one, now=now[pin]) if pin in now else told[pin]
        for pin, one in kept.items()
        if (pin in told if pin not in now else _said(now[pin]) != _said(one))
    }


def is_told(drifts: Mapping[str, PinDrift], told: Mapping[str, PinDrift]) -> bool:
    """Whether drifts are those that were told before."""
    return {pin: _said(drift.now) for pin, drift in drifts.items()} == {
        pin: _said(drift.now) for pin, drift in told.items()
    }


def days_in(event: Message) -> set[tuple[str, str]]:
    """First and last day of everything that an event says was measured."""
    if isinstance(event, Measured):
        return {(event.start_date, event.end_date)} if event.HasField("measure") else set()
    days = set[tuple[str, str]]()
    for field, value in event.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else [value]:
                days |= days_in(one)
    return days


def known_at(measured: Iterable[PinDrift]) -> int:
    """The position in the log up to which facts were known to a measurement."""
    return max((one.now.known_at for one in measured), default=0)


def _said(measured: Measured) -> tuple[bool, int, int, bool]:
    """What a measurement says; the same of other facts, or with other places, is no drift."""
    return measured.value != "", measured.numerator, measured.denominator, measured.disputed


def _days(measured: Measured) -> tuple[str, str, list[tuple[str, str]]]:
    without = [(one.start_date, one.end_date) for one in measured.without]
    return measured.start_date, measured.end_date, without
