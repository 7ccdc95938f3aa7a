"""The test's end of `apps/gates.py`: it learns what an app does and lets it go on."""

import os
import select

from support.server import DEADLINE


class Gates:
    """Two FIFOs, both ends held open here, so that no side ever waits for the other to open them."""

    def __init__(self, directory):
        self.signals = self._fifo(directory / "signals")
        self.gate = self._fifo(directory / "gate")
        self.environment = {"TEST_SIGNALS": str(directory / "signals"), "TEST_GATE": str(directory / "gate")}
        self.received = b""

    @staticmethod
    def _fifo(path):
        os.mkfifo(path)
        return os.open(path, os.O_RDWR)

    def expect(self, word):
        """Waits until an app says this word; other words are an error."""
        while b"\n" not in self.received:
            assert select.select([self.signals], [], [], DEADLINE)[0], f"no app said {word!r}"
            self.received += os.read(self.signals, 4096)
        line, _, self.received = self.received.partition(b"\n")
        assert line.decode() == word

    def silent(self):
        """Whether no app has said anything that was not expected."""
        return not self.received and not select.select([self.signals], [], [], 0)[0]

    def release(self):
        """Lets one waiting app call go on."""
        os.write(self.gate, b"!")

    def close(self):
        """Closes both FIFOs."""
        os.close(self.signals)
        os.close(self.gate)
