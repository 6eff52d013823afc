"""Child processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STARTS_ONE = """
import sys, time
from pathlib import Path
from libs.cli.child import ChildProcess

child = ChildProcess()
child.log = Path(sys.argv[1])
child.spawn([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.process.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
@pytest.mark.parametrize("at", ["once", "work"])
def test_no_child_outlives_who_started_it(tmp_path: Path, at: str) -> None:
    """Not even one that was killed, at once or with the child at work: otherwise its ports and files stay taken."""
    # given
    parent = subprocess.Popen([sys.executable, "-c", STARTS_ONE, tmp_path / "log"], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    while at == "work" and "PDEATHSIG" in Path(f"/proc/{child}/cmdline").read_text():
        time.sleep(0.01)
    # when
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    # then
    deadline = time.monotonic() + 10
    while _runs(child):
        assert time.monotonic() < deadline, "the child goes on"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state != "Z"  # nobody may have buried it yet
