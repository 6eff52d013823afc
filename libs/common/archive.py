"""Files of a backup: what is damaged, cut short or put together from two is known, with the place.

A file is parts in a row: four bytes that say how long a part is, its digest, the part itself (zlib). A digest is the
SHA-256 of the digest before it (for the first: of the file's name) and the part. The last one stands in the manifest,
which is written when everything else is on disk: a folder without it is no backup.
"""

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from libs.common.errors import NotAllowed

MANIFEST = "manifest.json"
FORMAT = 1
_HEAD = struct.Struct(">I32s")


class ArchiveFile:
    """A file that is being written."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self.digest = hashlib.sha256(name.encode()).digest()

    def add(self, part: bytes) -> None:
        """Appends a part."""
        packed = zlib.compress(part)
        self.digest = hashlib.sha256(self.digest + packed).digest()
        self._file.write(_HEAD.pack(len(packed), self.digest))
        self._file.write(packed)


@contextmanager
def writing_archive(folder: Path, name: str) -> Iterator[ArchiveFile]:
    """A new file of a backup, which is on disk when the context ends. Only its owner may read it."""
    with os.fdopen(os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        yield ArchiveFile(file, name)
        file.flush()
        os.fsync(file.fileno())


def read_archive(folder: Path, name: str, digest: str) -> Iterator[bytes]:
    """The parts of a file, of which the last must have this digest (in hexadecimal digits).

    Raises NotAllowed `BACKUP_DAMAGED` with the byte at which the damaged part begins.
    """
    before = hashlib.sha256(name.encode()).digest()
    try:
        file = (folder / name).open("rb")
    except FileNotFoundError:
        raise NotAllowed("BACKUP_DAMAGED", f"{folder / name} is missing") from None
    with file:
        end = os.fstat(file.fileno()).st_size
        while (start := file.tell()) < end:
            head = file.read(_HEAD.size)
            length, said = _HEAD.unpack(head) if len(head) == _HEAD.size else (end, b"")
            if start + _HEAD.size + length > end:
                raise _damaged(folder / name, start, "it ends before this part does")
            packed = file.read(length)
            if (before := hashlib.sha256(before + packed).digest()) != said:
                raise _damaged(folder / name, start, "its digest is another one")
            yield zlib.decompress(packed)
        if before.hex() != digest:
            raise _damaged(
                folder / name, end, f"it is not the file of which {MANIFEST} tells: parts are missing, or added"
            )


def _damaged(file: Path, at: int, why: str) -> NotAllowed:
    return NotAllowed("BACKUP_DAMAGED", f"{file} is damaged at byte {at}: {why}. Take another copy of this backup")


def new_folder(folder: Path) -> None:
    """Makes a folder for a backup. Raises NotAllowed `NOT_EMPTY`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise NotAllowed("NOT_EMPTY", f"{folder} holds something already: give each backup a folder of its own")


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Ends a backup: what it holds, in a file that is there whole or not at all."""
    whole = {"format": FORMAT, **content}
    unfinished = folder / f"{MANIFEST}.unfinished"
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as file:
        json.dump({**whole, "digest": _digest_of(whole)}, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(folder / MANIFEST)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_manifest(folder: Path, kind: str) -> dict[str, Any]:
    """What a backup of this kind holds.

    Raises NotAllowed: `NO_BACKUP` where there is none, or one that was cut short; `BACKUP_DAMAGED`; `OTHER_BACKUP` of
    another kind, or made by a later version.
    """
    file = folder / MANIFEST
    if not file.exists():
        raise NotAllowed("NO_BACKUP", f"{folder} holds no backup, or one that was cut short: it has no {MANIFEST}")
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        said = content.pop("digest")
    except (ValueError, KeyError, AttributeError, TypeError):
        said = content = {}
    if not content or said != _digest_of(content):
        raise NotAllowed(
            "BACKUP_DAMAGED", f"{file} is damaged: its digest is another one. Take another copy of this backup"
        )
    if (content["format"], content["kind"]) != (FORMAT, kind):
        found = f"of {content['kind']}, format {content['format']}"
        raise NotAllowed("OTHER_BACKUP", f"{folder} is a backup {found}; one of {kind}, format {FORMAT}, is needed")
    return content


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
