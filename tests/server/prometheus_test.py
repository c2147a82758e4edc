"""The server beside Prometheus, as Debian has it: the page of metrics, the alerts, the dashboard.

prometheus_test.py VECDBD

A real Prometheus scrapes a real vecdbd whose searches by text ask an embedding service of this
test's. The alert on slow searches must be silent while that is fast, fire when it is slow, and end.
For that the rules are copied with shorter times, and a limit that no load of the machine can pass
by itself; the rules as they are have tests of their own, which promtool runs.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DEPLOY = Path("examples/deploy")
ELSEWHERE = [Path("cluster/server", f) for f in ("metrics_cluster.c", "gpus.c")]
DEADLINE = 120  # seconds for anything that is waited for
NAME = re.compile(r"\b((?:vecdb|process|search)_[a-z_]+)\b")
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Embeddings:
    """An embedding service that can be made slow."""

    def __init__(self):
        outer = self
        self.delay = 0.0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # the answer in one piece: in two it waits for an acknowledgement

            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                if outer.delay:
                    time.sleep(outer.delay)  # this is the slowness
                body = json.dumps({"data": [{"embedding": [1.0, 0.0]}]}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Server:
    """vecdbd with a collection of some rows, and whoever searches it without a pause."""

    def __init__(self, program, folder, embeddings):
        self.process = subprocess.Popen(
            [program, "--data", f"{folder}/db", "--listen", "127.0.0.1:0", "--server.workers", "8",
             "--embedding.url", embeddings.url, "--search.recall_every", "50",
             "--audit.path", f"{folder}/audit"],
            stderr=subprocess.PIPE, text=True)
        port = None
        while not port:
            line = self.process.stderr.readline()
            assert line, "vecdbd does not start"
            port = re.search(r"serving .* on port (\d+)", line)
        self.address = f"127.0.0.1:{port[1]}"
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.searching = threading.Event()
        self.ask("POST", "/v1/collections", {"name": "docs", "fields": [
            {"name": "id", "type": "INT64", "primary_key": True},
            {"name": "v", "type": "FLOAT_VECTOR", "dim": 2, "index": {"type": "HNSW"}}]})
        self.ask("PUT", "/v1/collections/docs/rows",
                 {"rows": [{"id": i, "v": [i, 1]} for i in range(8000)]})
        self.ask("POST", "/v1/collections/docs/compact", {})

    def ask(self, method, path, body=None, accept="*/*"):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://{self.address}{path}", data, method=method)
        request.add_header("Accept", accept)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def search(self):
        self.ask("POST", "/v1/collections/docs/search", {"query": "anything", "top_k": 3})

    def search_on(self, threads):
        def work():
            while not self.searching.is_set():
                try:
                    self.search()
                except (urllib.error.URLError, ConnectionError):
                    assert self.searching.is_set(), "a search failed before the end"
        for _ in range(threads):
            threading.Thread(target=work, daemon=True).start()

    def stop(self):
        self.searching.set()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0


class Prometheus:
    """Debian's prometheus with these files, on a port of its choice."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml",
             f"--storage.tsdb.path={folder}/tsdb", "--web.listen-address=127.0.0.1:0",
             "--log.level=info"], stderr=subprocess.PIPE, text=True)
        port = None
        while not port:
            line = self.process.stderr.readline()
            assert line, "prometheus does not start"
            port = re.search(r'address=127\.0\.0\.1:([1-9]\d*)', line)
        self.url = f"http://127.0.0.1:{port[1]}/api/v1/"
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        wait_until("Prometheus is ready", self.ready)

    def ready(self):
        try:
            return self.get("query", query="1") is not None
        except urllib.error.HTTPError:
            return False

    def get(self, path, **arguments):
        with urllib.request.urlopen(
                f"{self.url}{path}?{urllib.parse.urlencode(arguments)}", timeout=60) as answer:
            return json.load(answer)["data"]

    def value(self, query):
        result = self.get("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None

    def state(self, alert):
        for group in self.get("rules", type="alert")["groups"]:
            for rule in group["rules"]:
                if rule["name"] == alert:
                    return rule["state"]
        raise AssertionError(f"no alert {alert}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def wait_until(what, holds):
    """Polls until it holds; fails when that takes too long."""
    end = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < end, f"waited too long until {what}"
        time.sleep(0.1)


def check_page(server):
    page = server.ask("GET", "/metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True,
                             text=True, check=False)
    assert checked.returncode == 0 and not checked.stdout + checked.stderr, checked
    print(f"promtool check metrics: {len(page.splitlines())} lines, no warning")
    try:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
    except ImportError:
        print("skipped: prometheus_client is not there to read OpenMetrics")
        return
    families = list(parse(server.ask("GET", "/metrics", accept=OPEN_METRICS)))
    print(f"prometheus_client reads OpenMetrics: {len(families)} families")


def check_names(server):
    """What alerts and dashboard ask for must be there; or before a cluster, as test_cluster.c sees,
    or where there are GPUs, as test_observe.c plays."""
    page = server.ask("GET", "/metrics")
    there = set(re.findall(r"^([a-z_]+)", page, re.M)) | set(re.findall(r"# TYPE (\S+)", page))
    for source in ELSEWHERE:
        there |= set(re.findall(r'"(vecdb_(?:repli|gpu_)\w+)"', source.read_text()))
    rules = (DEPLOY / "prometheus/alerts.yml").read_text()
    dashboard = json.loads((DEPLOY / "grafana/vecdb.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    variables = [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    for text in [rules, *asked, *variables]:
        for name in NAME.findall(text):
            assert name in there, f"{name} is not in /metrics"
    print(f"{len(asked)} queries of the dashboard ask for what is there")
    return asked


def check_rules():
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"],
                    ["check", "config", "prometheus.yml"]):
        done = subprocess.run(["promtool", *command], cwd=DEPLOY / "prometheus",
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        print("promtool", *command)


def write_setup(folder, address):
    """The rules for this test: seconds for minutes, and half a second for 20 milliseconds."""
    rules = (DEPLOY / "prometheus/alerts.yml").read_text()
    rules, n = re.subn(r"search_latency_seconds_bucket\[1m\]\)\)\)\n *> 0\.02\n *for: 2m",
                       "search_latency_seconds_bucket[5s]))) > 0.5\n        for: 2s", rules)
    assert n == 1, "the alert on slow searches has another form"
    Path(folder, "alerts.yml").write_text(rules)
    Path(folder, "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "250ms", "evaluation_interval": "250ms"},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [{"job_name": "vecdb", "static_configs": [{"targets": [address]}]}]}))


P99 = ('histogram_quantile(0.99, sum by (instance, le)'
       ' (rate(search_latency_seconds_bucket[5s])))')


def check_alert(prometheus, embeddings):
    alert = "VecdbSearchSlow"
    wait_until("there is a p99", lambda: (prometheus.value(P99) or 0) > 0)
    wait_until("twenty more scrapes",
               lambda: (prometheus.value("count_over_time(up[1h])") or 0) > 20)
    fast = prometheus.value(P99)
    fired = prometheus.value(f'count_over_time(ALERTS{{alertname="{alert}"}}[1h])')
    assert fired is None, f"the alert is pending or fires while p99 is {fast} s"
    embeddings.delay = 1.2
    wait_until("the alert fires", lambda: prometheus.state(alert) == "firing")
    slow = prometheus.value(P99)
    embeddings.delay = 0.0
    wait_until("the alert ends", lambda: prometheus.state(alert) == "inactive")
    print(f"{alert}: silent at a p99 of {fast * 1000:.1f} ms, fires at {slow * 1000:.0f} ms, ends")


def check_queries(prometheus, asked):
    """Each query of the dashboard has an answer of a real Prometheus, and all but those about
    replicas, which only a cluster has, and GPUs with samples."""
    wait_until("recall was measured", lambda: prometheus.value("vecdb_recall_ratio") is not None)
    empty = []
    for query in asked:
        query = query.replace("$__rate_interval", "1m").replace("$instance", ".*")
        if not prometheus.get("query", query=query.replace("$collection", ".*"))["result"]:
            empty.append(query)
    assert all(re.search("vecdb_(repli|gpu)", query) for query in empty), f"without samples: {empty}"
    print(f"Prometheus answers {len(asked)} queries, {len(asked) - len(empty)} with samples")


def main(program):
    check_rules()
    embeddings = Embeddings()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(program, folder, embeddings)
        try:
            server.search()
            try:
                server.ask("GET", "/v1/collections/none")
            except urllib.error.HTTPError:
                pass  # there is an error to count now
            check_page(server)
            asked = check_names(server)
            write_setup(folder, server.address)
            prometheus = Prometheus(folder)
            try:
                server.search_on(4)
                check_alert(prometheus, embeddings)
                check_queries(prometheus, asked)
            finally:
                prometheus.stop()
        finally:
            server.stop()
        verified = run(program, "--verify-audit", f"{folder}/audit")
        assert verified.returncode == 0, verified
        print("the audit log of all this is", verified.stdout.strip())


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    main(os.path.abspath(sys.argv[1]))
