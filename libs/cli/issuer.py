"""An issuer of tokens for one machine: in the folder of `stepladder up`, in place of an identity provider.

Whoever may read its key may speak for everybody: it is for trying, and its services listen on this machine only.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libs.cli.secret_file import make_once
from libs.common.access import ROLES
from libs.common.auth import ROLE_PREFIX
from libs.common.settings import Settings

KEY_FILE, KEYS_FILE = "issuer.pem", "jwks.json"
LASTS_SECONDS = 12 * 3600.0
ALL_ROLES = tuple(sorted(ROLES))


class Issuer:
    """Signs tokens as the settings' issuer, for their audience."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, settings: Settings) -> None:
        self._key = key
        self._settings = settings
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
        self._id = public["x"][:16]
        self.keys = json.dumps({"keys": [{**public, "kid": self._id, "alg": "ES256", "use": "sig"}]})
        """The public part, as a JWKS."""

    @classmethod
    def of(cls, folder: Path, settings: Settings) -> "Issuer":
        """The issuer of a folder, made with it. Its key is readable by its owner only."""
        pem = make_once(folder / KEY_FILE, _new_key)
        key = serialization.load_pem_private_key(pem, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - we wrote it
        issuer = cls(key, settings)
        (folder / KEYS_FILE).write_text(issuer.keys)
        return issuer

    def person(self, employee_id: str, seconds: float = LASTS_SECONDS) -> str:
        """A token that speaks for an employee."""
        return self._signed({self._settings.token_employee_claim: employee_id, "sub": employee_id}, seconds)

    def system(self, name: str, roles: Iterable[str] = ALL_ROLES, seconds: float = LASTS_SECONDS) -> str:
        """A token that speaks for a system with some roles."""
        held = [f"{ROLE_PREFIX}{role}" for role in roles]
        return self._signed({"sub": name, self._settings.token_roles_claim: held}, seconds)

    def _signed(self, claims: dict[str, object], seconds: float) -> str:
        now = int(time.time())
        whole = {
            "iss": self._settings.token_issuer,
            "aud": self._settings.token_audience,
            "iat": now,
            "exp": now + int(seconds),
            **claims,
        }
        return jwt.encode(whole, self._key, algorithm="ES256", headers={"kid": self._id})


def _new_key() -> bytes:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, serialization.NoEncryption())
