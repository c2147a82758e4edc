"""A pytest plugin: tests that start milvus-lite's server get a vecdbd of their own instead, as another
process on the same folder. VECDBD is the program, VECDBD_LOG a file that takes what the servers say.
VECDBD_FAILING lists tests that are known to fail, each with its reason: one that passes in spite of
that fails the run, and so do less than VECDBD_SHARE percent of passes.

    VECDBD=build/vecdbd PYTHONPATH=tests/peers pytest -p vecdb_shim tests/adapter
"""
import os
import re
import subprocess
import threading

import pytest
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


def known():
    """The listed tests, by the ends of their names."""
    path = os.environ.get("VECDBD_FAILING")
    if not path:
        return {}
    with open(path, encoding="utf-8") as lines:
        pairs = [line.rstrip("\n").split("  ", 1) for line in lines
                 if line.strip() and not line.startswith("#")]
    return {name: reason.strip() for name, reason in pairs}


def pytest_collection_modifyitems(items):
    failing = known()
    for item in items:
        reason = failing.get(item.nodeid)
        if reason:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def pytest_sessionfinish(session):
    """Too few passes are a failure of the run, even when each of the others is listed."""
    share = float(os.environ.get("VECDBD_SHARE", "0"))
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    passed = len(reporter.stats.get("passed", []))
    failed = sum(len(reporter.stats.get(kind, [])) for kind in ("failed", "error", "xfailed"))
    if passed < share / 100 * (passed + failed):
        session.exitstatus = 1
    session.config.vecdb_counts = (passed, passed + failed, share)


def pytest_terminal_summary(terminalreporter, config):
    passed, total, share = config.vecdb_counts
    per_file = {}
    for kind in ("passed", "failed", "error", "xfailed"):
        for report in terminalreporter.stats.get(kind, []):
            row = per_file.setdefault(report.nodeid.split("::")[0], [0, 0])
            row[0] += kind == "passed"
            row[1] += 1
    for name, row in sorted(per_file.items()):
        terminalreporter.write_line(f"{row[0]:4} of {row[1]:4}  {name}")
    terminalreporter.write_line(
        f"{passed} of {total} pass: {100 * passed / max(total, 1):.1f} %, {share:.0f} are asked for")
