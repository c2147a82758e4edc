"""server_slow.py PORT PID - a server's answers to a quick client, its memory and its processor time beside
7,000 slow clients: 5,000 that send a part of a request's head, or nothing, 1,000 that send a part of a
body, 1,000 that ask and never read. Prints a JSON line before and one with them."""

import json
import resource
import socket
import sys
import time
import urllib.request

STARTS = ([b"GET /healthz HT", b"PRI * H", b""] * 1667)[:5000] + [
    b"POST /v1/collections HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"] * 1000 + [
    b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20] * 1000


def resident_mb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1]) / 1024


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        return sum(int(n) for n in f.read().split()[13:15]) / 100


def report(what, port, pid):
    ms = []
    for _ in range(500):
        start = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
            answer.read()
        ms.append((time.perf_counter() - start) * 1e3)
    ms.sort()
    before = processor_seconds(pid)
    time.sleep(1)  # the time over which the idle server's processor time is taken
    print(json.dumps({"clients": what, "p50_ms": round(ms[250], 3), "p99_ms": round(ms[495], 3),
                      "resident_mb": round(resident_mb(pid), 1),
                      "idle_processor_share": round(processor_seconds(pid) - before, 2)}))


def main():
    port, pid = int(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    report("none", port, pid)
    clients = []
    for start in STARTS:
        clients.append(socket.create_connection(("127.0.0.1", port)))
        clients[-1].sendall(start)
    report("7,000 slow", port, pid)


main()
