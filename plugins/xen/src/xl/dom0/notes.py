"""
What is kept of one migration at a host: a directory of small JSON files, gone with the migration, or with a reboot
like the guests.

  receive    who waits for the stream, and once it has come (`accepted`) for its `xl migrate-receive`
  report     what that xl reports of the start of its copy: 0, it runs
  left       the copies that it left behind, paused; they never ran
  discarded  such a copy was destroyed
  send       who waits for the `xl migrate`, whoever loses which connection; its `exit`
  stood      whether the guest stood suspended when that xl had failed: if not, or once we have resumed it, whoever
             suspends it later has reasons of his own. Not noted where xl was killed
  relay      joins xl's pipes to the connection; `sent` counts its bytes; `given`: the guest was given away
  ready      the relay has let xl know that the receiver has all; xl may have renamed its guest since

The xl itself is noted before it begins (`receive.xl`, `send.xl`), and it is looked then whether it may (`stopped`,
`cancelled`). So whoever forbids it first and looks afterwards sees it, or it does not begin, however long a host stands
still between two lines.
"""

import json
import os
import signal
import subprocess
import time

# What forbids whom to begin.
FORBIDS = {"receive": "stopped", "receive.xl": "stopped", "send": "cancelled", "send.xl": "cancelled"}


class RefusedError(Exception):
    """It was not done, and why; `busy`: the same may succeed later."""

    def __init__(self, why, busy=False):
        Exception.__init__(self, why)
        self.busy = busy


def until(holds, seconds):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def start_of(pid):
    """When a process began, so that a pid that was given out again is not taken for it; None when it is gone."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class Notes:
    def __init__(self, directory):
        self.directory = directory

    def place(self, name):
        return os.path.join(self.directory, name)

    def note(self, name, value):
        with open(self.place(name) + ".new", "w") as file:
            json.dump(value, file)
        os.rename(self.place(name) + ".new", self.place(name))

    def noted(self, name):
        try:
            with open(self.place(name)) as file:
                return json.load(file)
        except (OSError, ValueError):
            return None

    def has(self, name):
        return self.noted(name) is not None

    def log(self):
        try:
            with open(self.place("log"), errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def record(self, name, pid):
        self.note(name, {"pid": pid, "start": start_of(pid)})

    def recorded(self, name):
        """The pid of a process that still lives, or None."""
        it = self.noted(name)
        lives = it is not None and it["start"] is not None and start_of(it["pid"]) == it["start"]
        return it["pid"] if lives else None

    def owns(self, name, pid):
        """Whether a process belongs to the noted one: it is that, or of its process group."""
        it = self.noted(name)
        if it is None or start_of(it["pid"]) not in (None, it["start"]):
            return False
        try:
            return pid == it["pid"] or os.getpgid(pid) == it["pid"]
        except OSError:
            return True  # gone

    def lives(self, name):
        return self.recorded(name) is not None or self.recorded(name + ".xl") is not None

    def end(self, name):
        """Kills the xl with all that it has started, or who waits for its stream. Who waits for an xl ends with it."""
        pid = self.recorded(name + ".xl" if self.has(name + ".xl") else name)
        if pid is not None:
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def begin(self, name):
        """Once for each migration: whoever comes second is refused."""
        os.makedirs(self.directory, 0o700, exist_ok=True)
        try:
            os.close(os.open(self.place(name + ".begun"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            raise RefusedError("it was begun before")

    def present(self, name):
        """The caller is it from now on, if that is still wanted."""
        self.record(name, os.getpid())
        if self.has(FORBIDS[name]):
            raise RefusedError("it is not wanted any more")

    def run(self, name, command, **streams):
        """Starts the xl, as a process group with all that it will start."""

        def first():
            os.setpgrp()
            self.present(name + ".xl")

        return subprocess.Popen(command, preexec_fn=first, **streams)  # noqa: PLW1509, there are no threads here

    def state(self, name):
        if not self.has(name):
            begun = os.path.exists(self.place(name + ".begun"))
            return ("ended" if self.has(FORBIDS[name]) else "working") if begun else "none"
        if not self.lives(name):
            return "ended"
        return "listening" if name == "receive" and not self.has("accepted") else "working"

    def detach(self, work):
        """Has work done by a process that no connection takes along; waits until it says that it is ready, or ends."""
        reading, writing = os.pipe()
        if os.fork() == 0:
            code = 1
            try:
                os.setsid()
                os.close(reading)
                log = os.open(self.place("log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                null = os.open("/dev/null", os.O_RDWR)
                for fd, onto in ((null, 0), (log, 1), (log, 2)):
                    os.dup2(fd, onto)
                work(lambda: os.close(writing))
                code = 0
            except BaseException as error:
                os.write(2, ("%s: %s\n" % (type(error).__name__, error)).encode("utf-8", "replace"))
            os._exit(code)
        os.close(writing)
        os.read(reading, 1)
