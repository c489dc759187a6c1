"""Who is let in, and who is shown out: over real connections."""

import socket
import threading
import time
import unittest

import stream

TOKEN = "0123456789abcdef"  # noqa: S105


def right_words(token=TOKEN):
    nonce = b"n" * stream.NONCE_BYTES
    return nonce + stream.proof(token, b"relay", nonce)


def right_answer():
    return stream.proof(TOKEN, b"listener", b"n" * stream.NONCE_BYTES)


class TestDoor(unittest.TestCase):
    def setUp(self):
        self.listener, self.port = stream.listen("127.0.0.1", [42000, 42999])
        self.is_over = False
        self.opened = []
        self.keeper = threading.Thread(target=self.keep)
        self.keeper.start()

    def keep(self):
        door = stream.Door(self.listener)
        self.admitted = door.admit(TOKEN, 60)
        door.close()

    def tearDown(self):
        if not self.is_over:
            self.assert_let_in(self.knock(right_words()))
        self.keeper.join()
        self.admitted.close()
        for one in self.opened:
            one.close()

    def knock(self, words=b"", address="127.0.0.1"):
        one = socket.create_connection(("127.0.0.1", self.port), 10, (address, 0))
        self.opened.append(one)
        one.sendall(words)
        return one

    def assert_let_in(self, one):
        self.assertEqual(one.recv(100), right_answer())
        self.is_over = True

    def test_it_proves_itself_and_leaves_what_follows_to_xl(self):
        one = self.knock(right_words() + b"xl's own words")
        self.assert_let_in(one)
        self.keeper.join()
        self.assertEqual(self.admitted.recv(100), b"xl's own words")
        self.assertIsNone(self.admitted.gettimeout(), "xl shares the descriptor, which has to block")

    def test_words_that_come_byte_by_byte_are_heard(self):
        one = self.knock()
        for byte in right_words():
            one.sendall(bytes([byte]))
        self.assert_let_in(one)

    def test_who_does_not_know_the_token_is_told_nothing(self):
        for words in (right_words("another token"), b"0" * 64, b"\0" * 64 + b"more"):
            one = self.knock(words)
            with self.subTest(words):
                try:
                    self.assertEqual(one.recv(100), b"")
                except ConnectionResetError:
                    pass  # there were words that nobody read

    def test_a_stranger_who_never_stops_talking_has_no_longer_than_one_who_says_nothing(self):
        self.addCleanup(setattr, stream, "PATIENCE_SECONDS", stream.PATIENCE_SECONDS)
        stream.PATIENCE_SECONDS = 0.5
        talker, mute = self.knock(), self.knock()
        talker.settimeout(0.01)
        started = time.monotonic()
        with self.assertRaises(OSError):
            while time.monotonic() - started < 60:
                talker.sendall(b"x" if time.monotonic() - started < 0.3 else b"")
                try:
                    if talker.recv(1) == b"":
                        raise OSError("shown out")
                except socket.timeout:
                    pass
        self.assertEqual(mute.recv(1), b"")

    def test_a_flood_displaces_those_of_its_own_address_alone(self):
        ours = self.knock(right_words()[:-1], "127.0.0.9")
        flood = [self.knock() for _ in range(stream.MOST_WAITING + 4)]
        self.assertEqual(flood[0].recv(1), b"", "the oldest of them made room")
        ours.sendall(right_words()[-1:])
        self.assert_let_in(ours)


class TestConnect(unittest.TestCase):
    def answered(self, *answers):
        """Connects to somebody who hears the proof and says these things."""
        listener, port = stream.listen("127.0.0.1", [42000, 42999])

        def speak():
            peer, _ = listener.accept()
            self.heard = peer.recv(1000)
            for answer in answers:
                peer.sendall(answer(self.heard))
            peer.close()

        speaker = threading.Thread(target=speak)
        speaker.start()
        try:
            target = {"host": "127.0.0.1", "port": port, "from": "127.0.0.1", "token": TOKEN}
            stream.connect(target).close()
        finally:
            speaker.join()
            listener.close()

    def test_it_goes_on_only_with_a_listener_that_knows_the_token(self):
        self.answered(lambda heard: stream.proof(TOKEN, b"listener", heard[: stream.NONCE_BYTES]))
        for answer in (
            lambda heard: b"x" * stream.PROOF_BYTES,
            lambda heard: heard[stream.NONCE_BYTES :],  # its own proof is not the other's
            lambda heard: stream.proof("another", b"listener", heard[: stream.NONCE_BYTES]),
        ):
            with self.assertRaisesRegex(OSError, "not ours"):
                self.answered(answer)
        with self.assertRaisesRegex(OSError, "refused"):
            self.answered()

    def test_the_token_itself_is_never_said(self):
        with self.assertRaises(OSError):
            self.answered()
        self.assertEqual(len(self.heard), stream.NONCE_BYTES + stream.PROOF_BYTES)
        self.assertNotIn(TOKEN.encode(), self.heard)


if __name__ == "__main__":
    unittest.main()
