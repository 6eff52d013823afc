"""Backups, and what is made of them: `stepladder backup` and `stepladder restore`."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from nats.aio.client import Client
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.cli.embedded import CannotStart
from libs.cli.operating import log_as
from libs.cli.progress import progress
from libs.common import backup
from libs.common.archive import new_folder, read_manifest, write_manifest
from libs.common.database import open_database
from libs.common.errors import NotAllowed
from libs.common.jetstream import JetStreamStream, begin_restoring, end_restoring
from libs.common.keys import Sealer
from libs.common.parking import describe
from libs.common.settings import PREFIX, Settings
from libs.common.streams import STREAMS


async def back_up(folder: Path, keys_folder: Path | None, settings: Settings) -> int:
    """Backs up the log as of one moment, and after it the keys, while everything goes on.

    Prints one line of JSON when that is done; answers 1 when the log contradicts itself, else 0.
    """
    paths = [one.resolve() for one in (folder, keys_folder) if one]
    if len(paths) == 2 and (paths[0].is_relative_to(paths[1]) or paths[1].is_relative_to(paths[0])):
        raise NotAllowed("KEYS_APART", f"{keys_folder} and {folder}: keys open what the log seals, keep them elsewhere")
    for one in paths:
        new_folder(one)
    now = datetime.now(UTC)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(log_as("backup", settings))
        gateway, keys = [await stack.enter_async_context(_opened(url)) for url in _databases(settings)]
        streams = _streams(client)
        webhooks = await backup.rows_of(gateway, backup.WEBHOOKS)
        ends = await backup.one_moment(streams)
        key_rows = await backup.rows_of(keys, [backup.KEYS])
        files: dict[str, Any] = {backup.ROWS: backup.write_rows(folder, webhooks)}
        with progress("backing up", sum(ends.values())) as tell:
            done = 0
            for name, end in ends.items():
                files[name] = await backup.copy_stream(folder, streams[name], end, partial(_tell_from, tell, done))
                done += end
    erased = {row["employee_id"]: row["erased_time"] for row in key_rows if row["wrapped"] is None}
    manifest = {"kind": backup.KIND, "time": now.isoformat(), "files": files, "erased": erased}
    contents = _read_log(folder, manifest)
    if keys_folder:
        files = {backup.ROWS: backup.write_rows(keys_folder, key_rows)}
        write_manifest(keys_folder, {"kind": backup.KEYS_KIND, "time": now.isoformat(), "files": files})
    write_manifest(folder, manifest)
    _print_broken(contents)
    told = {"time": now.isoformat(), "folder": str(folder), "events": contents.events, "broken": len(contents.broken)}
    print(json.dumps({**told, "keys": len(key_rows) if keys_folder else None}))
    return int(bool(contents.broken))


async def restore(folder: Path, keys_folder: Path | None, settings: Settings) -> None:
    """Puts a backup into an empty place, and compares. Nothing is written before all of the backup was read."""
    manifest = read_manifest(folder, backup.KIND)
    webhooks = backup.read_rows(folder, manifest)
    contents = _read_log(folder, manifest)
    key_rows = _key_rows(keys_folder, manifest, settings) if keys_folder else []
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(log_as("restore", settings))
        gateway, keys = [await stack.enter_async_context(_opened(url)) for url in _databases(settings)]
        if not await begin_restoring(client, settings.replicas):
            raise NotAllowed("NOT_EMPTY", "the log holds events: a backup goes into an empty nats-server only")
        if keys_folder:
            await backup.restore_rows(keys, [backup.KEYS], key_rows)
        await backup.restore_rows(gateway, backup.WEBHOOKS, webhooks)
        for what, work in (("restoring", backup.fill_stream), ("comparing", backup.compare_stream)):
            with progress(what, sum(contents.events.values())) as tell:
                done = 0
                for name, stream in _streams(client).items():
                    await work(folder, manifest, stream, partial(_tell_from, tell, done))
                    done += contents.events[name]
        await end_restoring(client, settings.replicas)
        known = {row["employee_id"] for row in await backup.rows_of(keys, [backup.KEYS])}
    _print_broken(contents)
    if lost := len(contents.people - known):
        print(f"of {lost} people there is no key: what is personal of them reads as (erased)")
    print(
        f"Restored as of {manifest['time']}: {', '.join(f'{end} of {name}' for name, end in contents.events.items())}."
    )


def _key_rows(folder: Path, log: Mapping[str, Any], settings: Settings) -> list[dict[str, Any]]:
    """Keys of a backup, without those that were erased since. Raises NotAllowed `WRONG_KEY`."""
    rows = backup.read_rows(folder, read_manifest(folder, backup.KEYS_KIND))
    sealer = Sealer(settings.key_encryption_key())
    try:
        for row in rows:
            if row["wrapped"] is not None:
                sealer.unseal(backup.bytes_of(row["wrapped"]), row["employee_id"])
    except InvalidTag:
        message = f"{PREFIX}KEK_FILE ({settings.kek_file}) is not the key that wrapped these keys: put that one there"
        raise NotAllowed("WRONG_KEY", message) from None
    if again := backup.erase_again(rows, log["erased"]):
        print(f"{again} people were erased after these keys were backed up: they are again")
    return rows


def _read_log(folder: Path, manifest: Mapping[str, Any]) -> backup.Contents:
    total = sum(manifest["files"][name]["events"] for name in STREAMS)
    with progress("reading the backup", total) as tell:
        return backup.read_log(folder, manifest, tell)


def _print_broken(contents: backup.Contents) -> None:
    if contents.broken:
        some = ", ".join(contents.broken[:10])
        print(f"{len(contents.broken)} events do not follow from the ones before in their aggregates: {some}")


def _tell_from(tell: backup.Tell, before: int, done: int) -> None:
    tell(before + done)


def _streams(client: Client) -> backup.Streams:
    return {name: JetStreamStream(client, name) for name in STREAMS}


def _databases(settings: Settings) -> tuple[str, str]:
    return settings.database_for("gateway"), settings.keys_url


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_database(url, pool_size=2)
    try:
        yield engine
    except DBAPIError as error:
        raise CannotStart(f"the database {engine.url.database} does not do it: {describe(error)}") from None
    finally:
        await engine.dispose()
