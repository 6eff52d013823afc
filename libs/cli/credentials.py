"""With what token the command line calls."""

import getpass
import re
from pathlib import Path

from libs.cli.issuer import KEY_FILE, Issuer
from libs.common.settings import PREFIX, load_settings


class NoToken(Exception):  # noqa: N818 - states what is the case
    """There is nothing to call with; the message says what to do."""


def system_token(folder: Path) -> str:
    """The token that was given in the settings, or else one of a folder's issuer.

    That speaks for a system that may do everything, called like whoever is logged in on this machine.
    """
    name = re.sub(r"[^A-Za-z0-9._@-]", "_", getpass.getuser())
    return load_settings().token or issuer_of(folder).system(name)


def person_token(folder: Path, employee_id: str) -> str:
    """A token of a folder's issuer that speaks for an employee."""
    return issuer_of(folder).person(employee_id)


def issuer_of(folder: Path) -> Issuer:
    """The issuer of a folder in which `stepladder up` has run."""
    if not (folder / KEY_FILE).exists():
        raise NoToken(
            f"{folder} has no issuer of tokens: name the folder of `stepladder up` by --data, or put a token of your"
            f" identity provider into {PREFIX}TOKEN"
        )
    return Issuer.of(folder, load_settings())
