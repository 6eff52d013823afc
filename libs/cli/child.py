"""A server as a child process: started, watched and ended in order."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 20.0
END_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1  # linux/prctl.h
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
parent, *command = sys.argv[1:]
if os.getppid() == int(parent):  # still there
    os.execv(command[0], command)
"""
"""Becomes a command that the kernel ends when who started it is gone, be it by SIGKILL. A program of its own, because
nothing may be run between fork and exec of a process with threads."""


class ChildProcess:
    """A process whose output goes to a file. Subclasses know their command and start it with `spawn`.

    Attributes:
        process: None before the first start and after a stop.
        log: where its output goes.
    """

    process: subprocess.Popen[bytes] | None = None
    log: Path

    def start(self) -> None:
        """Starts it without waiting until it is ready."""
        raise NotImplementedError  # every server has a command of its own

    def spawn(self, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
        """Starts a command. It gets a session of its own, so that Ctrl-C reaches only the one who stops it in order."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if sys.platform == "linux":
            command = [sys.executable, "-I", "-S", "-c", END_WITH_PARENT, str(os.getpid()), *command]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def ended(self) -> bool:
        """Whether it was started and is no more."""
        return self.process is not None and self.process.poll() is not None

    def has_given_up(self) -> bool:
        """Whether it runs, but will do its work only after another start."""
        return False

    def stop(self) -> None:
        """Ends it in order and waits for it; one that does not end in time is killed."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGCONT)  # a paused one would not hear it
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process = None

    def kill(self) -> None:
        """Takes it away without a warning, and waits until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-500:].strip() if self.log.exists() else ""
