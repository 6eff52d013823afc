"""Files with a secret that is made once and has to stay: readable by their owner only."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def make_once(file: Path, make: Callable[[], bytes]) -> bytes:
    """What is in a file; where there is none, what `make` answers, once that is on disk: whole, or not at all.

    An empty file is none: nothing can rest on it.
    """
    if file.exists() and (kept := file.read_bytes()):
        return kept
    secret = make()
    descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # for its owner only
    with os.fdopen(descriptor, "wb") as out:
        out.write(secret)
        out.flush()
        os.fsync(out.fileno())
    Path(beside).replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name, too
    finally:
        os.close(folder)
    return secret
