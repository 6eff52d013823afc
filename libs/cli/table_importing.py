"""`stepladder import table`: rows out of a file to the service, and what was left into a report that can be mended.

Rows go in their order, one request at a time: of two that contradict each other the first is taken, however often an
import was interrupted. No request has an id: a fact or a record that is there is known by what it says.
"""

import asyncio
import csv
import shlex
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from grpc.aio import Channel

from libs.cli.calling import front_door
from libs.cli.calls import check_centre
from libs.cli.importing import PATIENCE_SECONDS, send_patiently
from libs.cli.mapping import Unusable, WrongFile, find_mapping
from libs.cli.progress import progress
from libs.cli.table_mapping import TableMapping, load_table_mapping
from libs.cli.table_rows import Rows
from libs.cli.tables import REPORT_COLUMNS, Row, Table, is_xlsx, read_csv, read_xlsx
from libs.common.settings import load_settings
from stepladder.performance.v1.facts_pb2 import Fact, RecordFactsRequest
from stepladder.performance.v1.facts_pb2_grpc import FactsServiceStub
from stepladder.performance.v1.record_pb2 import CreateRecordsRequest, Record
from stepladder.performance.v1.record_pb2_grpc import RecordServiceStub

BATCH_ROWS = 500
BATCH_BYTES = 2 * 1024 * 1024
"""Below what the contracts take in a request: 1000 records, 4 MiB."""

ROWS_LEFT = 3
"""Exit status when rows were left."""

SHOWN_ROWS = 5
"""Rows that were left and are printed, beside the report."""


class _Rejection(Protocol):
    @property
    def index(self) -> int: ...
    @property
    def reason(self) -> str: ...
    @property
    def message(self) -> str: ...


class _Answer(Protocol):
    """What the services answer to facts and to records alike."""

    @property
    def recorded(self) -> int: ...
    @property
    def unchanged(self) -> int: ...
    @property
    def rejections(self) -> Iterable[_Rejection]: ...
    @property
    def log_position(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Left:
    """A row that was not taken, and why."""

    row: Row
    reason: str
    message: str


@dataclass(slots=True)
class TableResult:
    """What came of a table.

    Attributes:
        recorded, unchanged: rows taken now, and rows that were there before with the same content.
        left: rows that were not taken, by reason.
        log_position: reads with this `at_least` include everything recorded.
    """

    recorded: int = 0
    unchanged: int = 0
    left: Counter[str] = field(default_factory=Counter)
    log_position: int = 0

    @property
    def rows(self) -> int:
        return self.recorded + self.unchanged + self.left.total()


@dataclass(slots=True)
class _Batch:
    """Rows that follow each other: each with the index of its message, or with what is wrong with it.

    A message stands for all rows that say the same.
    """

    rows: list[tuple[Row, int | Unusable]] = field(default_factory=list)
    messages: list[Fact | Record] = field(default_factory=list)
    known: dict[bytes, int] = field(default_factory=dict)
    size: int = 0

    def add(self, row: Row, said: Fact | Record | Unusable) -> None:
        if isinstance(said, Unusable):
            self.rows.append((row, said))
            return
        content = said.SerializeToString()
        if content not in self.known:
            self.known[content] = len(self.messages)
            self.messages.append(said)
            self.size += len(content)
        self.rows.append((row, self.known[content]))

    def left(self, rejections: Mapping[int, _Rejection]) -> Iterator[Left]:
        for row, said in self.rows:
            if isinstance(said, Unusable):
                yield Left(row, said.reason, said.detail)
            elif (rejection := rejections.get(said)) is not None:
                yield Left(row, rejection.reason, rejection.message)


def _batches(table: Table, rows: Rows) -> Iterator[_Batch]:
    batch = _Batch()
    for row in table.rows:
        said: Fact | Record | Unusable
        try:
            said = rows.message(row)
        except Unusable as unusable:
            said = unusable
        if batch.rows and (len(batch.rows) >= BATCH_ROWS or batch.size >= BATCH_BYTES):
            yield batch
            batch = _Batch()
        batch.add(row, said)
    if batch.rows:
        yield batch


async def import_table(
    channel: Channel,
    table: Table,
    rows: Rows,
    *,
    leave: Callable[[Left], None],
    tell: Callable[[int], None] = lambda _: None,
    patience: float = PATIENCE_SECONDS,
) -> TableResult:
    """Sends every row that can be used; started again with the same table, it records nothing twice.

    Args:
        channel: reaches the performance service.
        table: read once, a little ahead of what is sent.
        rows: turn its rows into messages.
        leave: is given every row that was not taken, in their order.
        tell: is told after every request how much of the table is done.
        patience: seconds for which a request is sent again while the service is unavailable.

    Raises ImportFailed, WrongFile and OSError; what was answered before stays recorded.
    """
    result = TableResult()
    batches = _batches(table, rows)
    batch = await asyncio.to_thread(next, batches, None)
    while batch is not None:
        sending = _send(channel, batch.messages, patience)
        answer, following = await asyncio.gather(sending, asyncio.to_thread(next, batches, None))
        rejections = {one.index: one for one in answer.rejections} if answer else {}
        taken = len(batch.rows)
        for one in batch.left(rejections):
            taken -= 1
            result.left[one.reason] += 1
            leave(one)
        if answer:
            result.recorded += answer.recorded
            result.unchanged += taken - answer.recorded
            result.log_position = max(result.log_position, answer.log_position)
        tell(table.done())
        batch = following
    return result


async def _send(channel: Channel, messages: Sequence[Any], patience: float) -> _Answer | None:
    if not messages:
        return None
    method: Callable[..., Awaitable[_Answer]]
    request: RecordFactsRequest | CreateRecordsRequest
    if isinstance(messages[0], Fact):
        method, request = FactsServiceStub(channel).RecordFacts, RecordFactsRequest(facts=messages)
    else:
        method, request = RecordServiceStub(channel).CreateRecords, CreateRecordsRequest(records=messages)
    return await send_patiently(method, request, "a batch of rows", patience)


@contextmanager
def reporting(path: Path, header: Sequence[str] | None, delimiter: str) -> Iterator[Callable[[Left], None]]:
    """Writes a report: the columns of the table unchanged, behind three of its own. It is there when all is done."""
    part = path.with_name(f"{path.name}.part")
    try:
        # With the mark by which spreadsheets know UTF-8; bytes that were no text stay as they are.
        opened = part.open("w", encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise WrongFile(f"the report cannot be written: {error}; name another file with --report") from None
    try:
        with opened as file:
            out = csv.writer(file, delimiter=delimiter)
            out.writerow((*REPORT_COLUMNS, *(header or ())))
            yield lambda left: out.writerow((left.row.number, left.reason, left.message, *left.row.cells))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def open_table(path: Path, mapping: TableMapping, sheet: str | None) -> Table:
    """A table of either kind. Raises WrongFile and OSError."""
    if is_xlsx(path):
        return read_xlsx(
            path,
            sheet=sheet or mapping.sheet,
            decimal_mark=mapping.formats.decimal_mark,
            header_row=mapping.header_row,
        )
    return read_csv(path, delimiter=mapping.delimiter, encoding=mapping.encoding, header_row=mapping.header_row)


async def import_table_file(
    file: Path, mapping_name: str, sheet: str | None, centre: str, report: Path, token: str
) -> int:
    """Imports a table into a running system; answers the exit status."""
    if report.resolve() == file.resolve():
        raise WrongFile(f"the report would take the place of {file}; name another file with --report")
    check_centre(centre)
    path = find_mapping(mapping_name, "table")
    mapping = load_table_mapping(path)
    settings = load_settings()
    table = open_table(file, mapping, sheet)
    try:
        rows = Rows(mapping, table.header, centre=centre, zone=settings.site_time_zone)
    except WrongFile as wrong:
        raise WrongFile(f"{file} does not fit {path}: {wrong}; correct the mapping, or take another") from None
    first: list[Left] = []
    with reporting(report, table.header, mapping.delimiter) as write:

        def leave(left: Left) -> None:
            write(left)
            if len(first) < SHOWN_ROWS:
                first.append(left)

        async with front_door(token) as channel:
            with progress(f"importing {file.name}", table.size) as tell:
                result = await import_table(channel, table, rows, leave=leave, tell=tell)
    _print_result(result, first, report, mapping_name)
    return ROWS_LEFT if result.left else 0


def _print_result(result: TableResult, first: Sequence[Left], report: Path, mapping_name: str) -> None:
    print(
        f"{result.rows} rows: {result.recorded} recorded, {result.unchanged} known before, {result.left.total()} left."
    )
    for reason, count in sorted(result.left.items()):
        print(f"  {count:>6} {reason}")
    for left in first:
        print(f"  row {left.row.number}: {left.message} ({left.reason})")
    if result.left:
        print(
            f"  each listed in {report}: mend it there, then\n"
            f"  stepladder import table {shlex.quote(str(report))} --mapping {shlex.quote(mapping_name)}"
        )
