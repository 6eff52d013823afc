"""`python -m tests.bench`: measures every figure against its limit; one line of JSON each, the story on stderr."""

import argparse
import asyncio
import json
import logging

import structlog

from libs.common.server import collect_seldom
from tests.bench import commanding, correcting, following, fronting, ingesting, reporting, subscribing, system, trying
from tests.bench.figures import tell

FIGURES = {
    figure.name: figure
    for figure in (
        *ingesting.FIGURES,
        *commanding.FIGURES,
        *following.FIGURES,
        *correcting.FIGURES,
        *reporting.FIGURES,
        *fronting.FIGURES,
        *subscribing.FIGURES,
        *system.FIGURES,
        *trying.FIGURES,
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=FIGURES, action="append", help="measure this figure; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small numbers: does it work, not how fast is it")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    collect_seldom()  # followers and limits are measured in this process
    for name in arguments.only or FIGURES:
        figure = FIGURES[name]
        tell(f"{name}: {figure.does}")
        measured = asyncio.run(figure.measure(arguments.quick))
        print(json.dumps(figure.line(measured)), flush=True)


if __name__ == "__main__":
    main()
