"""What was measured, as a table for people."""

from collections.abc import Sequence

from tests.capacity.growing import Taken


def table(taken: Sequence[Taken]) -> str:
    """In Markdown: a column for each size of the log, then what a million events more take, then a start at the end.

    What a million events more take is the difference of the last size and the first.
    """
    *grown, again = taken
    millions = (grown[-1].events - grown[0].events) / 1_000_000

    def growing(name: str, values: Sequence[float], started: float | None = None) -> list[str]:
        cells = [*values, (values[-1] - values[0]) / millions]
        return [name, *(f"{cell:,.0f}" for cell in cells), "" if started is None else f"{started:,.0f}"]

    def rate(name: str, values: Sequence[float]) -> list[str]:
        return [name, *(f"{value:,.0f}" for value in values), "", ""]

    rows = [
        ["", *(f"{one.events:,} events" for one in grown), "each million more", "started again"],
        ["---", *["--:"] * (len(grown) + 2)],
        *(growing(f"MB on disk, {name}", [one.disk[name] for one in grown]) for name in sorted(again.disk)),
        *(
            growing(f"MB of memory, {name}", [one.memory[name] for one in grown], again.memory[name])
            for name in sorted(again.memory)
        ),
        rate("facts a second, recorded", [one.recorded / one.seconds for one in grown]),
        rate("facts a second, followed", [one.recorded / (one.seconds + one.behind) for one in grown]),
        ["seconds to start", *[""] * (len(grown) + 1), f"{again.seconds:.1f}"],
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
