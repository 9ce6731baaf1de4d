"""`recbole-marn serve` as a process of its own."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request


class Service:
    """A running service; `log` is what it said so far."""

    def __init__(self, export, folder, *arguments):
        self.file = folder / "serve.log"
        command = [sys.executable, "-m", "recbole_marn", "serve", str(export), "--port", "0",
                   "--added", str(folder / "added"), *arguments]  # fmt: skip
        with open(self.file, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.address = self._wait(r"at (http://\S+) by").group(1)
        self._wait("Application startup complete")

    @property
    def log(self):
        return self.file.read_text("utf-8", errors="replace")

    def workers(self):
        """Process ids of workers that came up, those that ended included."""
        return [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", self.log)]

    def get(self, path):
        with urllib.request.urlopen(self.address + path, timeout=60) as answer:
            return json.load(answer)

    def stop(self):
        """Stop it gracefully; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def _wait(self, pattern):
        for _ in range(1200):
            if found := re.search(pattern, self.log):
                return found
            assert self.process.poll() is None, self.log
            time.sleep(0.1)
        raise AssertionError(self.log)
