"""A KPI's arithmetic: exact, rounded only to be shown. Pure."""

from fractions import Fraction

from stepladder.performance.v1.kpi_pb2 import Kpi


def kpi_value(kpi: Kpi, numerator: int, denominator: int) -> Fraction | None:
    """The exact value of an aggregated numerator and denominator, in the KPI's unit; None for a ratio out of 0."""
    scale = Fraction(kpi.scale_numerator, kpi.scale_denominator)
    if kpi.aggregation != Kpi.AGGREGATION_RATIO:
        return numerator * scale
    return Fraction(numerator, denominator) * scale if denominator else None


def format_value(kpi: Kpi, value: Fraction) -> str:
    """The value rounded half up (away from zero) to the KPI's precision; a time of day as HH:MM:SS."""
    if kpi.unit != Kpi.UNIT_TIME_OF_DAY:
        return decimal(value, kpi.precision)
    seconds = int(decimal(abs(value), 0))
    sign = "-" if value < 0 and seconds else ""
    return f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def decimal(value: Fraction, digits: int) -> str:
    """The value rounded half up (away from zero) to so many digits, all of them written."""
    units = 10**digits
    shown = int(abs(value) * units + Fraction(1, 2))
    sign = "-" if value < 0 and shown else ""
    return f"{sign}{shown // units}.{shown % units:0{digits}}" if digits else f"{sign}{shown}"
