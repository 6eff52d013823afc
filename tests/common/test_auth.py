"""Who calls: tokens that are believed, and all that are not."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from libs.cli.issuer import Issuer
from libs.common import auth
from libs.common.access import Caller
from libs.common.auth import Tokens
from libs.common.errors import Unauthenticated, Unavailable
from libs.common.settings import Settings

KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
NOW = int(time.time())
GOOD = {"iss": "https://login.example", "aud": "stepladder", "sub": "e-7", "exp": NOW + 24 * 3600}
"""Claims of a good token."""


def jwks(**keys: Any) -> str:
    found = []
    for name, key in keys.items():
        kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        found.append({**json.loads(kind.to_jwk(key.public_key())), "kid": name})
    return json.dumps({"keys": found})


def put(file: Path, **keys: Any) -> None:
    file.write_text(jwks(**keys))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "jwks.json"
    put(file, one=KEY, two=RSA_KEY)
    return file


@pytest.fixture
def tokens(keys: Path) -> Tokens:
    return Tokens(Settings(token_issuer="https://login.example", token_keys=str(keys)))


def signed(claims: dict[str, Any], key: Any = KEY, algorithm: str = "ES256", kid: str | None = "one") -> str:
    return "Bearer " + jwt.encode(claims, key, algorithm, headers={} if kid is None else {"kid": kid})


async def refusal(tokens: Tokens, authorization: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await tokens.caller(authorization)
    return caught.value.reason


async def test_a_token_speaks_for_a_person_or_for_a_system(tokens: Tokens) -> None:
    """A role of ours makes it a system's; roles of others say nothing to us."""
    assert await tokens.caller(signed(GOOD)) == Caller("user:e-7")
    assert await tokens.caller(signed(GOOD, RSA_KEY, "RS256", "two")) == Caller("user:e-7")
    assert await tokens.caller(signed({**GOOD, "roles": ["operator", "admin"]})) == Caller("user:e-7")
    system = {**GOOD, "sub": "wfm", "roles": ["stepladder.facts", "admin"]}
    assert await tokens.caller(signed(system)) == Caller("system:wfm", frozenset({"facts"}))
    assert await tokens.caller(signed({**system, "roles": "stepladder.facts x"})) == Caller(
        "system:wfm", frozenset({"facts"})
    )


async def test_the_employee_is_in_the_claim_that_the_settings_name(keys: Path) -> None:
    """Where an identity provider's own subject is something else."""
    settings = Settings(
        token_issuer="https://login.example", token_keys=str(keys), token_employee_claim="employee_number"
    )
    for written in ("e-7", "E-7"):  # ids of employees have no capital letters; what they are made of may
        claims = {**GOOD, "sub": "auth0|5f7c", "employee_number": written}
        assert await Tokens(settings).caller(signed(claims)) == Caller("user:e-7")
    assert await refusal(Tokens(settings), signed({**GOOD, "sub": "auth0|5f7c"})) == "TOKEN_SUBJECT"


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - 3600}, "TOKEN_EXPIRED"),
        ({"aud": "payroll"}, "TOKEN_AUDIENCE"),
        ({"aud": ["payroll", "crm"]}, "TOKEN_AUDIENCE"),
        ({"iss": "https://evil.example"}, "TOKEN_ISSUER"),
        ({"nbf": NOW + 3600}, "TOKEN_INVALID"),
        ({"sub": "e 7"}, "TOKEN_SUBJECT"),
        ({"sub": "policy:x"}, "TOKEN_SUBJECT"),
        ({"sub": ""}, "TOKEN_SUBJECT"),
        ({"sub": None}, "TOKEN_INVALID"),
        ({"exp": None}, "TOKEN_INVALID"),
        ({"aud": None}, "TOKEN_INVALID"),
        ({"iss": None}, "TOKEN_INVALID"),
    ],
)
async def test_claims_that_are_not_believed(tokens: Tokens, claims: dict[str, Any], reason: str) -> None:
    """None: the claim is not there."""
    said = {key: value for key, value in {**GOOD, **claims}.items() if value is not None}
    assert await refusal(tokens, signed(said)) == reason


async def test_forged_tokens_are_not_believed(tokens: Tokens) -> None:
    """Another's key, no signature, a public key taken for a shared secret, a changed claim, and what is no token."""
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, claims, signature = signed(GOOD).removeprefix("Bearer ").split(".")
    other = base64.urlsafe_b64encode(json.dumps({**GOOD, "sub": "hr-1"}).encode()).decode().rstrip("=")
    secret = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "one"}).encode()).decode().rstrip("=")
    by_secret = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    mac = base64.urlsafe_b64encode(by_secret.sign(f"{secret}.{claims}".encode(), public)).decode().rstrip("=")
    forged = [
        signed(GOOD, ec.generate_private_key(ec.SECP256R1())),
        signed(GOOD, RSA_KEY, "RS256", "one"),  # the id of a key of another kind
        signed(GOOD, RSA_KEY, "RS512", "two"),
        signed(GOOD, None, "none"),
        f"Bearer {secret}.{claims}.{mac}",
        f"Bearer {head}.{other}.{signature}",
        f"Bearer {head}.{claims}.",
        signed(GOOD, kid="unknown"),
        signed(GOOD, kid=None),
        "Bearer x.y.z",
        "Bearer " + "a" * 9000,
        f"{signed(GOOD)}, {signed(GOOD)}",  # two headers
    ]
    assert {await refusal(tokens, one) for one in forged} == {"TOKEN_INVALID"}
    assert {
        await refusal(tokens, one) for one in ("", "Bearer", "Basic YTpi", signed(GOOD).removeprefix("Bearer "))
    } == {"TOKEN_MISSING"}


async def test_a_token_is_good_until_it_expires_however_often_it_was_used(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is remembered of it does not outlive it."""
    authorization = signed(GOOD)
    await tokens.caller(authorization)
    later = NOW + 25 * 3600
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr("jwt.api_jwt.datetime", _Later)
    assert await refusal(tokens, authorization) == "TOKEN_EXPIRED"


class _Later(jwt.api_jwt.datetime):  # type: ignore[name-defined,misc] # the clock that the library reads
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return super().fromtimestamp(NOW + 25 * 3600, tz)


async def test_keys_rotate(tokens: Tokens, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new key is found when a token names it; one that is withdrawn is good for nothing after a while."""
    monkeypatch.setattr(auth, "ASK_AGAIN_SECONDS", 0.0)
    await tokens.caller(signed(GOOD))
    new = ec.generate_private_key(ec.SECP256R1())
    put(keys, new=new)
    assert await tokens.caller(signed(GOOD)) == Caller("user:e-7"), "the keys are not asked for with every call"
    assert await tokens.caller(signed(GOOD, new, kid="new")) == Caller("user:e-7")
    assert await refusal(tokens, signed(GOOD)) == "TOKEN_INVALID"


async def test_withdrawn_keys_are_forgotten_in_time(
    tokens: Tokens, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nobody shows a new one: then what was remembered of its tokens goes, too."""
    monkeypatch.setattr(auth, "ASK_AGAIN_SECONDS", 0.0)
    await tokens.caller(signed(GOOD))
    put(keys, two=RSA_KEY)
    monkeypatch.setattr(auth, "KEYS_LAST_SECONDS", 0.0)
    assert await refusal(tokens, signed(GOOD)) == "TOKEN_INVALID"


@pytest.fixture
def provider() -> Iterator[tuple[str, list[str]]]:
    """An identity provider over HTTP, and the paths that it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200 if len(asked) == 1 else 503)
            self.end_headers()
            self.wfile.write(jwks(one=KEY).encode() if len(asked) == 1 else b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/keys", asked
    server.shutdown()
    thread.join()
    server.server_close()


async def test_an_issuer_that_is_away_locks_nobody_out(
    provider: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last keys are good; made-up key ids do not make us ask again and again."""
    address, asked = provider
    tokens = Tokens(Settings(token_issuer="https://login.example", token_keys=address))
    await tokens.caller(signed(GOOD))
    for number in range(5):
        assert await refusal(tokens, signed(GOOD, kid=f"made-up-{number}")) == "TOKEN_INVALID"
    assert asked == ["/keys"]
    monkeypatch.setattr(auth, "ASK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(auth, "KEYS_LAST_SECONDS", 0.0)
    assert await tokens.caller(signed(GOOD)) == Caller("user:e-7")
    assert len(asked) > 1


async def test_an_issuer_that_is_slow_holds_nobody_up(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one caller asks it for its keys, the others are let on by the last ones."""
    await tokens.caller(signed(GOOD))
    monkeypatch.setattr(auth, "ASK_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(auth, "KEYS_LAST_SECONDS", 0.0)
    asked, answered = threading.Event(), threading.Event()

    def slowly(_: str) -> str:
        asked.set()
        answered.wait(60)
        raise OSError

    monkeypatch.setattr(auth, "fetch_keys", slowly)
    first = asyncio.create_task(tokens.caller(signed(GOOD)))
    try:
        await asyncio.to_thread(asked.wait, 60)
        async with asyncio.timeout(30):
            assert await tokens.caller(signed(GOOD)) == Caller("user:e-7")
        assert not first.done()
    finally:
        answered.set()
    assert await first == Caller("user:e-7")


async def test_without_any_keys_the_same_call_may_be_made_again(tmp_path: Path) -> None:
    """Nobody is told that their token is wrong when it is our side that cannot tell."""
    tokens = Tokens(Settings(token_issuer="https://login.example", token_keys=str(tmp_path / "none.json")))
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            await tokens.caller(signed(GOOD))
        assert caught.value.reason == "ISSUER_AWAY"


def test_the_embedded_issuer_is_made_once(tmp_path: Path) -> None:
    """Its key is for its owner's eyes; the next start finds the same."""
    first, second = Issuer.of(tmp_path, Settings()), Issuer.of(tmp_path, Settings())
    assert first.keys == second.keys == (tmp_path / "jwks.json").read_text()
    assert (tmp_path / "issuer.pem").stat().st_mode & 0o077 == 0
