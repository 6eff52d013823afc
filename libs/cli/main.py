"""The command line `stepladder`."""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click
import structlog
from grpc import StatusCode, aio

from libs.cli import calling, operating, recovering, roster_importing, starting, table_importing
from libs.cli.calling import WrongCall
from libs.cli.credentials import NoToken, issuer_of, person_token, system_token
from libs.cli.embedded import CannotStart, log_alone, migrate_all, to_back_up
from libs.cli.envoy import envoy_configuration
from libs.cli.importing import ImportFailed
from libs.cli.mapping import WrongFile
from libs.common.access import ROLES
from libs.common.errors import Refused
from libs.common.rpc import answered
from libs.common.settings import PREFIX, Settings, load_settings

T = TypeVar("T")

FOLDER = click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".stepladder"),
    show_default=True,
    help="Where `stepladder up` stores everything, its issuer of tokens too.",
)
KEYS = click.option(
    "--keys",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder of their own for the keys of what is personal in the log.",
)
CENTRE = click.option(
    "--centre",
    default="centre",
    show_default=True,
    help="Short id of the contact centre: the ids of its people are made of it.",
)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's work; what a person can do something about ends it with one sentence and status 1."""
    try:
        return asyncio.run(work)
    except (CannotStart, WrongFile, ImportFailed, WrongCall, Refused) as problem:
        raise click.ClickException(str(problem)) from None
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        raise click.ClickException(f"{error.strerror}: {error.filename or 'while writing'}") from None
    except aio.AioRpcError as error:
        if answered(error) is None and error.code() is StatusCode.UNAVAILABLE:
            raise click.ClickException(
                f"nothing answers: is `make up` running, and are the same {PREFIX} variables set? ({error.details()})"
            ) from None
        raise click.ClickException(f"{error.details()} ({error.code().name})") from None


def token_for(folder: Path, employee: str | None = None) -> str:
    """With what a command calls. What a person can do something about ends it as in `run`."""
    try:
        return person_token(folder, employee) if employee else system_token(folder)
    except NoToken as problem:
        raise click.ClickException(str(problem)) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Coaching, performance and promotion for customer-service centres.

    `stepladder up` runs the whole system on this machine; the other commands work with a running one. Where it is, and
    everything else that can be set, comes from environment variables that start with STEPLADDER_ (see docs/operate.md).
    """
    # What is printed may be on its way into a file.
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


@main.command()
@FOLDER
@click.option(
    "--calls",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Import this call log in place of the sample centre.",
)
@click.option("--format", "mapping", default="brown-calls", show_default=True, help="Mapping of the call log.")
@CENTRE
@click.option("--empty", is_flag=True, help="Import nothing.")
@click.option(
    "--days-ahead",
    type=click.IntRange(0, 3650),
    default=0,
    help="Let the clock of this run be so many days ahead, to try what takes days. Everything is recorded so.",
)
def up(folder: Path, calls: Path | None, mapping: str, centre: str, empty: bool, days_ahead: int) -> None:
    """Run the whole system here until Ctrl-C; in a new folder with a sample centre.

    Exit status: 0, or 1 when it could not be run or something in it had stopped or was parked at the end.
    """
    sys.exit(run(starting.up(folder, calls, mapping, centre, empty=empty, days_ahead=days_ahead)))


@main.group(name="import")
def import_() -> None:
    """Bring facts in."""


@import_.command(name="calls")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--format", "mapping", default="brown-calls", show_default=True, help="A mapping that ships, or a TOML file."
)
@CENTRE
@FOLDER
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to list unusable rows. [default: <file>.unusable.csv in this folder]",
)
def import_calls(file: Path, mapping: str, centre: str, folder: Path, report: Path | None) -> None:
    """Import a log of calls.

    Importing the same file for the same centre again changes nothing; an import that was interrupted goes on when it is
    started again.
    """
    report = report or Path(f"{file.name}.unusable.csv")
    run(starting.import_calls(file, mapping, centre, report, token_for(folder)))


@import_.command(name="table")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--mapping", required=True, help="What its columns mean: a mapping that ships, or a TOML file.")
@click.option("--sheet", help="Sheet of an XLSX file. [default: as the mapping says, or the only one]")
@CENTRE
@FOLDER
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to list rows that were left. [default: <file>.left.csv in this folder]",
)
def import_table(file: Path, mapping: str, sheet: str | None, centre: str, folder: Path, report: Path | None) -> None:
    """Import a table (CSV or XLSX) of KPI readings or of records.

    Every row is taken or left by itself. The report holds the rows that were left as they stand in the file, each with
    the reason: mend them there and import the report with the same mapping, as often as needed. What was taken before
    stays as it is, so the same file may be imported again, and an import that was interrupted be started again.

    Exit status: 0 when every row was taken, 3 when rows were left, 1 when the import could not be done.
    """
    report = report or Path(f"{file.name}.left.csv")
    sys.exit(run(table_importing.import_table_file(file, mapping, sheet, centre, report, token_for(folder))))


@import_.command(name="roster")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--mapping",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What its columns mean: a TOML file. [default: they are named as in docs/bring-in.md]",
)
@click.option("--sheet", help="Sheet of an XLSX file. [default: as the mapping says, or the only one]")
@click.option("--as-of", default="", help="The day from which on it holds. [default: today]")
@click.option("--leavers", is_flag=True, help="The file names everybody: whoever is employed and not in it leaves.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@FOLDER
def import_roster(
    file: Path, mapping: Path | None, sheet: str | None, as_of: str, folder: Path, leavers: bool, dry_run: bool
) -> None:
    """Import a roster (CSV or XLSX): teams and their leads, people, and what they hold, as of a day.

    What the directory says already is not said again, so the same file may be imported any number of times. All rows
    are checked first: with a wrong one nothing is changed, and each is shown with what is wrong.

    Exit status: 0, 3 when rows were wrong, 1 when the import could not be done.
    """
    work = roster_importing.import_roster_file(
        file, mapping, sheet, as_of, token_for(folder), leavers=leavers, dry_run=dry_run
    )
    sys.exit(run(work))


@main.command()
@FOLDER
def status(folder: Path) -> None:
    """Show what follows the log, how far behind, and what is parked.

    Exit status: 0, or 1 when something has stopped or is parked, or nothing answers.
    """
    sys.exit(run(operating.status(token_for(folder))))


@main.command()
@click.argument("service")
@click.argument("follower")
@FOLDER
def rebuild(service: str, follower: str, folder: Path) -> None:
    """Build a read model anew from the log, beside the live one, and swap them."""
    run(operating.rebuild(token_for(folder), service, follower))


@main.group()
def parked() -> None:
    """Events that could not be applied, and those waiting behind them."""


@parked.command(name="list")
@click.argument("service", default="-")
@FOLDER
def list_parked(service: str, folder: Path) -> None:
    """List parked aggregates, of one service or of all."""
    run(operating.list_parked(token_for(folder), service))


@parked.command()
@click.argument("service")
@click.argument("follower")
@click.argument("subject")
@FOLDER
def retry(service: str, follower: str, subject: str, folder: Path) -> None:
    """Apply the parked events of one aggregate again."""
    run(operating.retry_parked(token_for(folder), service, follower, subject))


@parked.command()
@click.argument("service")
@click.argument("follower")
@click.argument("subject")
@click.argument("position", type=int)
@click.option("--reason", required=True, help="Why; kept with the skipped event.")
@FOLDER
def skip(service: str, follower: str, subject: str, position: int, reason: str, folder: Path) -> None:
    """Give up the first parked event of one aggregate, at POSITION, and apply those behind it."""
    run(operating.skip_parked(token_for(folder), service, follower, subject, position, reason))


@main.command()
@click.argument("method")
@click.argument("request", default="{}")
@click.option("--as", "employee", help="Call as this employee. [default: as a system with every role]")
@FOLDER
def call(method: str, request: str, employee: str | None, folder: Path) -> None:
    """Call any gRPC METHOD through the front door, with a REQUEST as JSON, and print the answer as JSON.

    For instance: stepladder call PlanService.ListPlans '{"state": "STATE_PROPOSED"}' --as hr-1
    """
    run(calling.call(method, request, token_for(folder, employee)))


@main.command()
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(sorted(ROLES)), help="NAME is a system with this role."
)
@FOLDER
def token(name: str, roles: tuple[str, ...], folder: Path) -> None:
    """Print a token for trying, good for twelve hours, that speaks for the employee NAME, or with --role for a system.

    For instance: curl -H "Authorization: Bearer $(stepladder token hr-1)" http://127.0.0.1:8080/v1/plans
    """
    try:
        issuer = issuer_of(folder)
    except NoToken as problem:
        raise click.ClickException(str(problem)) from None
    print(issuer.system(name, roles) if roles else issuer.person(name))


@main.command()
@click.argument("name")
@click.option("--team", default="", help="Of this team only.  [default: of all]")
def subscriber(name: str, team: str) -> None:
    """Let the system NAME read the public events in NATS: make its consumer, and print its account for nats-server."""
    run(operating.add_subscriber(name, team))


@main.command()
@click.option("--host", default="0.0.0.0", show_default=True, help="Where it listens.")  # noqa: S104 - the front door
@click.option(
    "--admin-port", type=click.IntRange(1, 65535), help="Port of 127.0.0.1 where it is told to drain. [default: none]"
)
def envoy(host: str, admin_port: int | None) -> None:
    """Print Envoy's configuration for an installation, by the same settings."""
    print(envoy_configuration(load_settings(), host=host, admin_port=admin_port), end="")


@main.command()
@click.argument("backup", type=click.Path(path_type=Path, file_okay=False))
@KEYS
@FOLDER
def backup(backup: Path, keys: Path | None, folder: Path) -> None:
    """Back up the log into the new folder BACKUP, as of one moment, while everything goes on.

    What runs on --data, or with STEPLADDER_NATS_URL (of the user `backup`) an installation. Ends with a line of JSON.

    Exit status: 0, or 1 when there is no backup, or it says that the log contradicts itself.
    """
    sys.exit(run(_back_up(backup, keys, folder)))


async def _back_up(backup: Path, keys: Path | None, folder: Path) -> int:
    settings = load_settings()
    own = settings if _is_installation(settings) else to_back_up(folder, settings)
    return await recovering.back_up(backup, keys, own)


@main.command()
@click.argument("backup", type=click.Path(path_type=Path, file_okay=False))
@KEYS
@FOLDER
def restore(backup: Path, keys: Path | None, folder: Path) -> None:
    """Put the BACKUP of a log into an empty place, and compare every event.

    Into a new folder --data for `stepladder up`, or with STEPLADDER_NATS_URL (of the user `restore`) into an
    installation whose services do not run. The key that wraps the others (`kek`) has to be there. One that was cut
    short goes on when it is started again; before it has ended, no service starts.
    """
    run(_restore(backup, keys, folder))


async def _restore(backup: Path, keys: Path | None, folder: Path) -> None:
    settings = load_settings()
    if _is_installation(settings):
        await migrate_all(settings)
        await recovering.restore(backup, keys, settings)
    else:
        async with log_alone(folder, settings) as own:
            await recovering.restore(backup, keys, own)


def _is_installation(settings: Settings) -> bool:
    """Whether the settings name a log; otherwise it is that of `stepladder up`."""
    return "nats_url" in settings.model_fields_set


@main.command()
@click.argument("parts", nargs=-1, type=click.Choice(operating.PARTS))
def migrate(parts: tuple[str, ...]) -> None:
    """Bring the databases and the log's streams of an installation to this version; safe to repeat.

    With PARTS only those: each needs its own address and password only.
    """
    run(operating.set_up(parts or operating.PARTS))


if __name__ == "__main__":
    main()
