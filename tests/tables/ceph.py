"""A Ceph cluster in a directory of its own, whose RADOS Gateway is a real S3 server."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from urllib3 import PoolManager, Retry

from tests.tables.servers import S3Server, free_port

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
ACCESS_KEY, SECRET_KEY = "ceph-access-key", "ceph-secret-key"

# Memory is the disk. Short Paxos intervals save half of the time that a start takes.
CONFIG = """
[global]
fsid = {fsid}
monmap = {directory}/monmap
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr2 = false
mon data = {directory}/mon
mon allow pool size one = true
mon max pg per osd = 1000
mon tick interval = 1
mon cluster log file = {directory}/cluster.log
paxos propose interval = 0.05
paxos min wait = 0.01
osd data = {directory}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
rgw data = {directory}/rgw
rgw frontends = beast endpoint=127.0.0.1:{rgw_port}
run dir = {directory}
keyring = {directory}/keyring
admin socket = {directory}/$name.$pid.asok
log file = {directory}/$name.log
"""

# Without authentication a start of Ceph 16 fails at times: programs send commands before they know the cluster's id.
KEYRING = "".join(
    f"[{name}]\nkey = AQAAuVVpAAAAABAAbWFkZS11cC1mb3ItdGVzdA==\n{capabilities}\n"
    for name, capabilities in {
        "mon.": 'caps mon = "allow *"',
        "client.admin": 'caps mon = "allow *"\ncaps osd = "allow *"',
        "osd.0": 'caps mon = "allow profile osd"\ncaps osd = "allow *"',
        "client.rgw": 'caps mon = "allow rw"\ncaps osd = "allow rwx"',
    }.items()
)


@contextmanager
def ceph_server() -> Iterator[S3Server]:
    """Run a Ceph RADOS Gateway, or skip the test if Ceph is not installed. It starts in 2 to 8 seconds."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        packages = "apt-get install --no-install-recommends ceph-mon ceph-osd ceph-common radosgw"
        pytest.skip(f"There is no {', '.join(missing)} on this machine: install Ceph (Debian: {packages}).")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="langsmith-ceph-")))
        fsid, osd, mon_port, rgw_port = uuid4(), uuid4(), free_port(), free_port()
        config = CONFIG.format(fsid=fsid, directory=directory, mon_port=mon_port, rgw_port=rgw_port)
        (directory / "ceph.conf").write_text(config)
        (directory / "keyring").write_text(KEYRING)
        environment = {**os.environ, "CEPH_CONF": f"{directory}/ceph.conf"}

        def run(command: str) -> None:
            done = subprocess.run(
                command.split(), env=environment, cwd=directory, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"

        def start(command: str) -> None:
            stack.enter_context(_process(command.split(), directory, environment))

        monmap = f"--create --addv a [v1:127.0.0.1:{mon_port}/0] --fsid {fsid} --set-min-mon-release pacific"
        run(f"monmaptool {monmap} {directory}/monmap")  # --add would give an address of version 2, which nobody answers
        run(f"ceph-mon --mkfs -i a --monmap {directory}/monmap --keyring {directory}/keyring")
        start("ceph-mon -i a -f")
        run("ceph --connect-timeout 30 osd require-osd-release pacific")  # waits for the monitor
        run(f"ceph --connect-timeout 30 osd new {osd}")
        (directory / "osd").mkdir()
        run(f"ceph-osd -i 0 --mkfs --osd-uuid {osd}")
        start("ceph-osd -i 0 -f")
        start("radosgw -n client.rgw -f")
        keys = f"--access-key={ACCESS_KEY} --secret-key={SECRET_KEY}"
        run(f"radosgw-admin -n client.rgw user create --uid=test --display-name=test {keys}")
        server = S3Server(f"http://127.0.0.1:{rgw_port}", ACCESS_KEY, SECRET_KEY, trailing_checksums=False)
        # The gateway listens once its pools are there.
        retry = Retry(600, backoff_factor=0.05, backoff_max=0.2)
        with PoolManager(retries=retry) as client:
            client.request("GET", server.endpoint_url)
        yield server


@contextmanager
def _process(command: list[str], directory: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a program of the cluster, and stop it by its process id."""
    with (directory / f"{command[0]}.out").open("w") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=directory, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:  # the gateway, at times
                process.kill()
                process.wait()
