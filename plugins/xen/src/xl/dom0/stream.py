"""
The connection between the two hosts: who may have it, and the relay that joins it to the pipes of `xl migrate`.

Before xl hears or says anything both ends prove that they know the token of the migration, without telling it:

  relay to listener    32 random bytes, HMAC-SHA-256(token, "relay" + them)
  listener to relay    HMAC-SHA-256(token, "listener" + them)

A token is good for one connection.

The relay is the referee of a cancel. xl gives the guest away right after it has read the receiver's "ready"; so SIGTERM
ends the relay until it has let that message through, and never after. So a cancel is honoured or it is too late, and
there is nothing between. A relay that ends before makes xl resume the guest by itself.

Source of the messages: tools/xl/xl.h and xl_migrate.c of Xen, unchanged since 4.1 (2011).
"""

import collections
import fcntl
import hashlib
import hmac
import os
import select
import selectors
import signal
import socket
import sys
import threading
import time

BANNER = b"xl migration receiver ready, send binary domain data.\n"
# Followed by one byte: 0, the copy runs; anything else, it never did and is taken away.
REPORT = b"my copy unpause results are as follows\0"

NONCE_BYTES = 32
PROOF_BYTES = 32
# A stranger has so long for all it has to say, and so many may be about it at a time.
PATIENCE_SECONDS = 15
MOST_WAITING = 16
CONNECT_SECONDS = 30
F_SETPIPE_SZ = 1031


def proof(token, who, nonce):
    return hmac.new(token.encode(), who + nonce, hashlib.sha256).digest()


def keep_alive(connection):
    """A gateway that dies without a word is noticed after a minute, also by whoever only reads."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, 20),
        (socket.TCP_KEEPINTVL, 10),
        (socket.TCP_KEEPCNT, 4),
        (socket.TCP_NODELAY, 1),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def listen(address, ports):
    """At the first port that is free. Returns the socket and the port."""
    why = "there is none"
    for port in range(ports[0], ports[1] + 1):
        listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
            listener.listen(MOST_WAITING)
            return listener, port
        except OSError as error:
            listener.close()
            why = error.strerror
    raise OSError("no port of %s-%s can be listened at on %s: %s" % (ports[0], ports[1], address, why))


class Candidate:
    """Somebody who has connected, and has not said enough yet."""

    def __init__(self, connection, address):
        connection.setblocking(False)
        self.connection = connection
        self.host = address[0]
        self.end = time.monotonic() + PATIENCE_SECONDS
        self.said = b""

    def hear(self):
        """Takes what there is, and no byte that is meant for xl. False when nothing more can come of it."""
        try:
            more = self.connection.recv(NONCE_BYTES + PROOF_BYTES - len(self.said))
        except (BlockingIOError, InterruptedError):
            return True
        except OSError:
            return False
        self.said += more
        return len(more) > 0

    def knows(self, token):
        nonce, shown = self.said[:NONCE_BYTES], self.said[NONCE_BYTES:]
        return hmac.compare_digest(shown, proof(token, b"relay", nonce))


class Door:
    """Lets the connection in that knows the token. Whoever floods it displaces none but those of his own address."""

    def __init__(self, listener):
        self.listener = listener
        self.listener.setblocking(False)
        self.waiting = []  # the oldest first
        self.ready = selectors.DefaultSelector()
        self.ready.register(listener, selectors.EVENT_READ)

    def admit(self, token, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            soonest = min([end] + [candidate.end for candidate in self.waiting])
            for key, _ in self.ready.select(max(0, soonest - time.monotonic())):
                if key.fileobj is self.listener:
                    self.welcome()
                elif key.data in self.waiting and self.examine(key.data, token):
                    return self.let_in(key.data, token)
            for candidate in [late for late in self.waiting if late.end <= time.monotonic()]:
                self.dismiss(candidate)
        raise OSError("nobody came in %d seconds" % seconds)

    def close(self):
        """Nobody else comes in."""
        for candidate in list(self.waiting):
            self.dismiss(candidate)
        self.ready.close()
        self.listener.close()

    def welcome(self):
        try:
            connection, address = self.listener.accept()
        except OSError:  # gone again
            return
        candidate = Candidate(connection, address)
        self.waiting.append(candidate)
        self.ready.register(connection, selectors.EVENT_READ, candidate)
        if len(self.waiting) > MOST_WAITING:
            most = collections.Counter(one.host for one in self.waiting).most_common(1)[0][0]
            self.dismiss(next(one for one in self.waiting if one.host == most))

    def examine(self, candidate, token):
        alive = candidate.hear()
        if len(candidate.said) == NONCE_BYTES + PROOF_BYTES:
            if candidate.knows(token):
                return True
            alive = False
        if not alive:
            self.dismiss(candidate)
        return False

    def let_in(self, candidate, token):
        self.forget(candidate)
        connection = candidate.connection
        connection.setblocking(True)  # xl shares the flag
        connection.sendall(proof(token, b"listener", candidate.said[:NONCE_BYTES]))
        return connection

    def dismiss(self, candidate):
        self.forget(candidate)
        candidate.connection.close()

    def forget(self, candidate):
        self.waiting.remove(candidate)
        self.ready.unregister(candidate.connection)


def connect(target):
    """From the address that the gateway expects, to a listener that proves to be ours."""
    connection = socket.create_connection((target["host"], target["port"]), CONNECT_SECONDS, (target["from"], 0))
    try:
        prove(connection, target["token"])
    except OSError:
        connection.close()
        raise
    connection.settimeout(None)
    return connection


def prove(connection, token):
    nonce = os.urandom(NONCE_BYTES)
    connection.sendall(nonce + proof(token, b"relay", nonce))
    end = time.monotonic() + CONNECT_SECONDS
    shown = b""
    while len(shown) < PROOF_BYTES:
        connection.settimeout(max(0.001, end - time.monotonic()))
        more = connection.recv(PROOF_BYTES - len(shown))
        if not more:
            raise OSError("it was refused there")
        shown += more
    if not hmac.compare_digest(shown, proof(token, b"listener", nonce)):
        raise OSError("whoever listens there is not ours")


class Relay:
    """Between the pipes of `xl migrate` (descriptors 0 and 1) and the connection. Ends the process."""

    def __init__(self, notes):
        self.notes = notes
        self.committed = False

    def run(self):
        signal.signal(signal.SIGTERM, self.cancel)
        # In this order: a cancel is noted first, and sent to whoever is recorded then.
        self.notes.record("relay", os.getpid())
        if self.notes.has("cancelled"):
            os._exit(1)
        target = self.notes.noted("target")
        try:
            self.connection = connect(target)
        except OSError as error:
            sys.stderr.write("the relay cannot connect to %s port %s: %s\n" % (target["host"], target["port"], error))
            sys.stderr.flush()
            os._exit(1)
        keep_alive(self.connection)
        try:
            fcntl.fcntl(0, F_SETPIPE_SZ, 1 << 20)  # fewer and larger reads
        except OSError:
            pass
        threading.Thread(target=self.upwards, daemon=True).start()
        self.downwards()

    def cancel(self, *_):
        if not self.committed:
            os._exit(1)

    def upwards(self):
        sent, counted = 0, 0
        try:
            while True:
                data = os.read(0, 1 << 20)
                if not data:
                    break
                if self.committed and sent:
                    self.notes.note("given", True)
                self.connection.sendall(data)
                sent += len(data)
                if time.monotonic() - counted > 0.2:
                    counted = time.monotonic()
                    self.notes.note("sent", sent)
            self.notes.note("sent", sent)
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            os._exit(1)

    def downwards(self):
        passed = 0
        try:
            while True:
                data = self.connection.recv(1 << 16)
                if not data:
                    break
                if passed + len(data) > len(BANNER) and not self.committed:
                    self.committed = True
                    self.notes.note("ready", True)
                passed += len(data)
                while data:
                    data = data[os.write(1, data) :]
        except OSError:
            os._exit(1)
        os._exit(0)


def pass_on(xl, connection, notes):
    """
    What `xl migrate-receive` says, to the other end, until it has ended; what it reports of the start is noted first.
    It is heard to its end also when nobody listens any more: then it takes its copy away, and that is known for sure.
    """
    said = b""
    lost = False
    while True:
        if not select.select([xl.stdout], [], [], 1)[0]:
            if xl.poll() is None:
                continue
            break  # something that it has started holds the pipe open
        data = os.read(xl.stdout.fileno(), 1 << 16)
        if not data:
            break
        said += data
        _, found, status = said.partition(REPORT)
        if found and status and not notes.has("report"):
            notes.note("report", status[0])
        try:
            if not lost:
                connection.sendall(data)
        except OSError:
            lost = True
    xl.stdout.close()
