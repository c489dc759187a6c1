"""
What we do at a host with plain Xen: one job, one answer of a line of JSON. The program arrives on standard input
together with its job and is not installed; secrets are never on a command line. For Python 3.5 and later.
"""

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import stream
from host import Host, bindable, run_directory
from notes import RefusedError, until

# Whoever follows a start that does not come in so long forbids it.
START_SECONDS = 5
# After SIGKILL.
END_SECONDS = 5


def answer(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def look(job, host, notes):
    # Who works on it first: what is listed after they have ended is final.
    seen = {"send": notes.state("send"), "receive": notes.state("receive"), "given": notes.has("given")}
    seen["report"] = notes.noted("report")
    seen["discarded"] = notes.has("discarded")
    seen["sent"] = notes.noted("sent")
    seen["left"] = host.left()
    seen["kept"] = notes.noted("left") if notes.has("receive.xl") else []
    seen["stood"] = notes.noted("stood")
    seen["ready"] = notes.has("ready") or notes.has("given")
    seen["others"] = host.others(job["uuid"], notes) if "uuid" in job else []
    seen["list"] = host.list()
    answer(seen)


def describe(job, host, notes):
    answer(
        {
            "list": host.list(),
            "configs": host.xl("list", "-l"),
            "info": host.xl("info"),
            "resumes": job.get("all", False) and re.search(r"^\s*resume\s", host.xl("help"), re.M) is not None,
            "interfaces": [name for _, name in socket.if_nameindex()],
            "missing": [path for path in job.get("paths", []) if not os.path.exists(path)],
            "autostart": host.autostart(job["name"]) if "name" in job else [],
            "receiving": host.receiving(),
            "left": host.left(),
            "root": os.geteuid() == 0,
            "bindable": bindable(job["address"], job["ports"]) if "ports" in job else 0,
            "others": host.others(job["uuid"], notes) if "uuid" in job else [],
            "runDirectory": run_directory(job["runDirectory"]),
        }
    )


def sample(job, host, notes):
    answer(host.sample())


def receive(job, host, notes):
    """Makes ready for the stream of a guest. One at a time: xl receives no more, and a second one would only wait."""
    os.makedirs(job["runDirectory"], 0o700, exist_ok=True)
    alone = os.open(job["runDirectory"], os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(alone, fcntl.LOCK_EX)
    other = host.receiving(but=job["migration"])
    if other is not None:
        raise RefusedError(other, busy=True)
    try:
        listener, port = stream.listen(job["address"], job["ports"])
    except OSError as error:
        raise RefusedError(str(error))
    notes.begin("receive")

    def work(ready):
        os.close(alone)
        notes.present("receive")
        ready()
        door = stream.Door(listener)
        connection = door.admit(job["token"], job["seconds"])
        notes.note("accepted", True)
        door.close()
        stream.keep_alive(connection)
        command = [host.program, "migrate-receive"]
        xl = notes.run("receive", command, stdin=connection, stdout=subprocess.PIPE)
        stream.pass_on(xl, connection, notes)
        connection.close()
        xl.wait()
        notes.note("left", host.incoming(job["uuid"]))

    notes.detach(work)
    if not notes.has("receive"):
        notes.note("stopped", True)
        raise RefusedError("the listener did not start: see %s" % notes.place("log"))
    answer({"port": port})


def refuse_beside_others(job, host, notes):
    others = host.others(job["uuid"], notes)
    if others:
        raise RefusedError("somebody else's %s works on the guest" % others[0], busy=True)


def send(job, host, notes):
    refuse_beside_others(job, host, notes)
    notes.begin("send")
    target = {"host": job["host"], "port": job["port"], "from": job["from"], "token": job["token"]}
    notes.note("target", target)
    kept = ("runDirectory", "migration", "xl", "lockPath", "modules")
    notes.note("relay.json", dict({name: job[name] for name in kept}, verb="relay"))
    with open(notes.place("relay.py"), "w") as file:
        file.write(job["boot"])

    def work(ready):
        words = [sys.executable, "-I", notes.place("relay.py"), notes.place("relay.json")]
        rune = "exec " + " ".join(shlex.quote(word) for word in words)
        notes.present("send")
        # With an empty -s the host argument is the whole command of the transport.
        xl = notes.run("send", [host.program, "migrate", "-s", "", str(job["domid"]), rune])
        ready()
        notes.note("exit", xl.wait())
        if notes.noted("exit") > 0:
            notes.note("stood", host.stands(job["uuid"]))

    notes.detach(work)
    if not notes.has("send"):
        notes.note("cancelled", True)
        raise RefusedError("xl migrate did not start: see %s" % notes.place("log"))
    answer({})


def relay(job, host, notes):
    stream.Relay(notes).run()


def follow(job, host, notes):
    """A line whenever more was sent, and the end of xl as the last one."""
    if notes.state("send") == "working" and not until(lambda: notes.has("send"), START_SECONDS):
        notes.note("cancelled", True)
    told = None
    while True:
        over = not notes.lives("send")
        sent = notes.noted("sent")
        if sent is not None and sent != told:
            told = sent
            answer({"sent": sent})
        if over:
            break
        time.sleep(0.05)
    answer({"exit": notes.noted("exit"), "log": notes.log()[-2000:]})


def cancel(job, host, notes):
    """Asks the relay to end, which refuses once the guest may have been given away. With `force` it has to."""
    if notes.state("send") != "none":
        # In this order: who begins is noted first, and looks for the cancel afterwards.
        notes.note("cancelled", True)
        relay = notes.recorded("relay")
        if relay is not None:
            os.kill(relay, signal.SIGKILL if job["force"] else signal.SIGTERM)
    answer({})


def stop(job, host, notes):
    """Ends the receiver, which must not get the guest any more: xl at the source has ended, or never began."""
    if notes.has("accepted"):
        # The end of the stream ends it, and it tidies up.
        until(lambda: not notes.lives("receive"), job["seconds"])
    notes.note("stopped", True)

    def ended():
        notes.end("receive")
        return not notes.lives("receive")

    answer({"ended": until(ended, END_SECONDS)})


def clear(job, host, notes):
    def at_work():
        return notes.lives("send") or notes.lives("receive") and notes.state("receive") == "working"

    if os.path.isdir(notes.directory) and not at_work():
        for what in ("stopped", "cancelled"):
            notes.note(what, True)
    if at_work():
        raise RefusedError("xl still works on it")
    notes.end("receive")
    left = set(notes.noted("left") or [])
    if left:
        left &= set(host.incoming(job["uuid"]))
    if left:
        where = "where the guest runs at the source: xl destroy %d" % left.pop()
        raise RefusedError("a copy that it left is still there, and never ran; %s" % where)
    shutil.rmtree(notes.directory, ignore_errors=True)
    answer({})


def discard(job, host, notes):
    """An incoming copy that never started is thrown away; that it never did is kept in mind."""
    if job["domid"] not in host.incoming(job["uuid"]):
        raise RefusedError("domain %d is no copy that waits" % job["domid"])
    notes.note("discarded", True)
    host.xl("destroy", str(job["domid"]))
    answer({})


def act(job, host, notes):
    # What is destroyed is a stale copy, which nobody may give away any more.
    if job["arguments"][0] != "destroy":
        refuse_beside_others(job, host, notes)
    host.xl(*job["arguments"])
    if job["arguments"][0] == "resume" and notes.has("stood"):
        notes.note("stood", False)
    answer({})


VERBS = {
    verb.__name__: verb
    for verb in (look, describe, sample, receive, send, relay, follow, cancel, stop, clear, discard, act)
}


def main(job):
    host = Host(job)
    try:
        VERBS[job["verb"]](job, host, host.notes_of(job.get("migration") or "none"))
    except RefusedError as refusal:
        answer({"refused": str(refusal), "busy": refusal.busy})
