"""A pytest plugin: tests that start milvus-lite's server get a vecdbd of their own instead, as another
process on the same folder. VECDBD is the program, VECDBD_LOG a file that takes what the servers say.

    VECDBD=build/vecdbd PYTHONPATH=tests/peers pytest -p vecdb_shim tests/adapter
"""
import os
import re
import subprocess
import threading

from milvus_lite.adapter.grpc import server as lite
from milvus_lite.exceptions import DataDirLockedError

PROGRAM = os.environ.get("VECDBD", "build/vecdbd")
LOG = os.environ.get("VECDBD_LOG", os.devnull)


class Server:
    """A running vecdbd, in the place of a grpc.Server and of the database in it."""

    def __init__(self, data, host, port):
        command = [PROGRAM, "--data", os.path.join(data, "db"), "--listen", f"{host}:{port}"]
        os.makedirs(data, exist_ok=True)
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.port, said = None, []
        for line in self.process.stderr:
            said.append(line)
            found = re.search(r"serving .* on port (\d+)", line)
            if found:
                self.port = int(found.group(1))
                break
        if not self.port:
            self.process.wait()
            text = "".join(said)
            raise DataDirLockedError(text) if "already open" in text else RuntimeError(text)
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        with open(LOG, "a", encoding="utf-8") as log:
            for line in self.process.stderr:
                log.write(line)

    def stop(self, grace=None):
        if self.process.poll() is None:
            self.process.terminate()
        code = self.process.wait()
        if code not in (0, -15):
            raise RuntimeError(f"vecdbd ended with {code}")

    def close(self):
        self.stop()


def start_server_in_thread(data_dir, host="127.0.0.1", port=0, max_workers=0):
    started = Server(str(data_dir), host, port)
    return started, started, started.port


lite.start_server_in_thread = start_server_in_thread
