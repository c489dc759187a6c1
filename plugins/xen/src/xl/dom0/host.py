"""What this host tells: through its xl, its kernel and its file system. Nothing is changed but by `xl`."""

import fcntl
import itertools
import os
import re
import socket
import stat
import subprocess
import time

from notes import Notes, RefusedError

# What xl calls a guest that it receives, and one that it has given away.
INCOMING = "--incoming"
GIVEN_AWAY = "--migratedaway"
# What suspends a guest, and takes it away or gives it away.
TAKES = ("save", "migrate", "suspend", "remus")
# What keeps nothing over a reboot.
IN_MEMORY = ("tmpfs", "ramfs")
VIF = re.compile(r"^vif(\d+)\.\d+(-emu)?$")


class Host:
    def __init__(self, job):
        self.program = job["xl"]
        self.run_directory = job["runDirectory"]
        self.lock_path = job["lockPath"]

    def xl(self, *arguments):
        command = [self.program] + list(arguments)
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            done = subprocess.run(command, check=False, **streams)
        except OSError as error:
            raise RefusedError("%s cannot be run: %s" % (self.program, error.strerror))
        if done.returncode != 0:
            raise RefusedError("xl %s: %s" % (arguments[0], done.stderr.decode("utf-8", "replace").strip()[-500:]))
        return done.stdout.decode("utf-8", "replace")

    def list(self):
        return self.xl("list", "-v")

    def incoming(self, uuid):
        """The ids of the copies of a guest that have come, and were not let go."""
        line = re.compile(r"^.*" + INCOMING + r"\s+(\d+)\s.*\s" + re.escape(uuid) + r"(\s|$)", re.I | re.M)
        return [int(found.group(1)) for found in line.finditer(self.list())]

    def stands(self, uuid):
        """Whether a guest stands suspended, under whatever name: shut down, for reason 2 (public/sched.h)."""
        line = re.compile(r"\s..-s..\s+[\d.]+\s+" + re.escape(uuid) + r"\s+0*2(\s|$)", re.I | re.M)
        return line.search(self.list()) is not None

    def calls(self):
        """The calls of xl that run now: pid and words. A script that stands for xl has its interpreter before it."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as file:
                    words = file.read().decode("utf-8", "replace").split("\0")[:-1]
            except OSError:
                continue  # gone
            for place, word in enumerate(words[:2]):
                if os.path.basename(word) == os.path.basename(self.program):
                    yield int(pid), words[place + 1 :]
                    break

    def names_of(self, uuid):
        """What a call of xl may name a guest by: its number, its name, and the name that it had before a migration."""
        line = re.compile(r"^(.*\S)\s+(\d+)\s+\d+\s+\d+\s+\S{6}\s+[\d.]+\s+" + re.escape(uuid) + r"(\s|$)", re.I | re.M)
        names = set()
        for found in line.finditer(self.list()):
            name = found.group(1)
            plain = name[: -len(GIVEN_AWAY)] if name.endswith(GIVEN_AWAY) else name
            names |= {name, plain, found.group(2)}
        return names

    def others(self, uuid, notes):
        """The calls of xl that take a guest away and are not this migration's: whose they are, the process tells."""
        names = self.names_of(uuid)
        found = []
        for pid, words in self.calls():
            # xl takes options of its own before the command, and any beginning of a command for it.
            command, *rest = list(itertools.dropwhile(lambda word: word.startswith("-"), words)) or [""]
            takes = command != "" and any(verb.startswith(command) for verb in TAKES)
            if takes and names.intersection(rest) and not notes.owns("send.xl", pid):
                found.append("xl %s, process %d" % (command, pid))
        return found

    def migrations(self):
        """Of those that have left notes here."""
        try:
            return sorted(os.listdir(self.run_directory))
        except OSError:
            return []

    def notes_of(self, migration):
        return Notes(os.path.join(self.run_directory, migration))

    def left(self):
        """The copies that receivers of ours have left behind, whatever has become of them."""
        noted = [(name, self.notes_of(name).noted("left") or []) for name in self.migrations()]
        return [{"migration": name, "domid": domid} for name, domids in noted for domid in domids]

    def locked(self):
        """Whether xl makes or receives a guest now: it holds this lock meanwhile (create_domain, xl_vmcontrol.c)."""
        try:
            fd = os.open(self.lock_path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.lockf(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(fd)
        return False

    def receiving(self, but=None):
        """Why no other guest could be received now, or None."""
        for name in self.migrations():
            if name != but and self.notes_of(name).lives("receive"):
                return "another guest is being received (%s)" % name
        return "xl makes or receives another guest (%s is locked)" % self.lock_path if self.locked() else None

    def sample(self):
        """When, what xl counts, and the bytes that each domain's interfaces have carried (as libxenstat reads them)."""
        traffic = {}
        with open("/proc/net/dev") as file:
            for line in file:
                name, _, counters = line.partition(":")
                vif = VIF.match(name.strip())
                if vif:
                    fields = counters.split()
                    traffic[vif.group(1)] = traffic.get(vif.group(1), 0) + int(fields[0]) + int(fields[8])
        return {"at": time.monotonic(), "list": self.list(), "traffic": traffic}

    def autostart(self, name):
        """The files by which this host starts a guest of that name when it boots."""
        pattern = re.compile(r"^\s*name\s*=\s*[\"']" + re.escape(name) + r"[\"']", re.M)
        found = []
        for directory, _, files in os.walk("/etc/xen/auto"):
            for file in files:
                try:
                    with open(os.path.join(directory, file), errors="replace") as config:
                        if pattern.search(config.read()):
                            found.append(os.path.join(directory, file))
                except OSError:
                    pass
        return found


def bindable(address, ports):
    """How many of the ports could be listened at now; nothing is."""
    count = 0
    for port in range(ports[0], ports[1] + 1):
        probe = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            probe.bind((address, port))
            count += 1
        except OSError:
            pass
        probe.close()
    return count


def run_directory(path):
    """Who writes there, and on what kind of file system: notes from before a reboot would speak of other guests."""
    mine = True
    if os.path.lexists(path):
        it = os.lstat(path)
        mine = stat.S_ISDIR(it.st_mode) and it.st_uid == os.geteuid() and it.st_mode & 0o022 == 0
    while not os.path.exists(path):
        path = os.path.dirname(path)
    real = os.path.realpath(path)
    kind, longest = "", -1
    with open("/proc/mounts") as file:
        for line in file:
            point, name = line.split(" ")[1:3]
            point = point.replace("\\040", " ")
            if len(point) >= longest and (real + "/").startswith(point.rstrip("/") + "/"):
                kind, longest = name, len(point)
    return {"writable": os.access(path, os.W_OK | os.X_OK), "mine": mine, "kind": kind, "inMemory": kind in IN_MEMORY}
