"""Lines of large text files."""

import codecs
import hashlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from libs.cli.mapping import WrongFile

MAX_LINE = 65_536
"""Bytes. A file with a longer line is no table; this keeps it from filling the memory."""

PROGRESS_STEP = 1 << 18
"""Bytes between two calls of the progress callback."""


class Lines:
    """A file's lines as text; counts and digests its bytes on the way, and tells `progress` how many there were."""

    def __init__(self, progress: Callable[[int], None] | None = None) -> None:
        self.digest = hashlib.sha256()
        self.count = 0
        self._progress = progress

    def read(self, file: BinaryIO, encoding: str) -> Iterator[str]:
        """Bytes that are not of the encoding come as lone surrogates, so that only their row is lost.

        A file that begins with the mark of UTF-8 is in UTF-8, whatever it was said to be. Raises WrongFile.
        """
        told = number = 0
        while line := file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                raise WrongFile(f"{file.name}: line {number} has more than {MAX_LINE} bytes; this is no such file")
            self.digest.update(line)
            self.count += len(line)
            if self._progress and self.count - told >= PROGRESS_STEP:
                told = self.count
                self._progress(self.count)
            if number == 1 and line.startswith(codecs.BOM_UTF8):
                encoding, line = "utf-8", line.removeprefix(codecs.BOM_UTF8)
            yield line.decode(encoding, "surrogateescape")
        if self._progress:
            self._progress(self.count)
