"""What is wrong with fields that several kinds of policies have."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from libs.common.errors import FieldViolation


def repeated(ids: Sequence[str], paths: Sequence[str]) -> Iterator[FieldViolation]:
    """A violation for every id that stood before."""
    for index, (one, path) in enumerate(zip(ids, paths, strict=True)):
        if one in ids[:index]:
            yield FieldViolation(path, f"{one} is there twice")


def weighed(weights: Iterable[str], path: str, *, normalize: bool) -> Iterator[FieldViolation]:
    """Weights that do not add up to 100, unless they are to be taken in proportion."""
    total = sum(map(Decimal, weights))
    if total != 100 and not normalize:
        yield FieldViolation(
            path,
            f"the weights add up to {total}, not to 100: change them, or set `normalize` to take them in proportion"
            " (every score will say so)",
        )


def joined(end: Decimal, start: Decimal, path: str) -> Iterator[FieldViolation]:
    """A gap or an overlap between the end of a band and the start of the next one, at the `path` of that."""
    if start > end:
        yield FieldViolation(path, f"nothing is said of {end} up to {start}: begin at {end}")
    elif start < end:
        yield FieldViolation(path, f"{start} up to {end} is in two bands: begin at {end}")
