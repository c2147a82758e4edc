"""The console in a headless chromium, driven as a user would, with pictures of it.

console_test.py VECDBD FOLDER

FOLDER gets the pictures. The passages of the demo are served, and texts are embedded by their words
alone, without a model: what is tested is the page. What it shows is held against what the server
answers to this program.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

WAIT = 60000  # milliseconds for anything that is waited for
DIM = 384


def embed(text):
    """A vector of words: texts that share some are near."""
    vector = [0.001] * DIM
    for word in re.findall(r"\w+", text.lower()):
        vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % DIM] += 1.0
    return vector


class Embeddings(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps({"data": [{"embedding": embed(asked["input"][0])}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server:
    def __init__(self, program, folder, *more):
        service = ThreadingHTTPServer(("127.0.0.1", 0), Embeddings)
        service.handle_error = lambda *_: None  # a server that stops leaves its connections
        threading.Thread(target=service.serve_forever, daemon=True).start()
        self.process = subprocess.Popen(
            [program, "--data", f"{folder}/db", "--listen", "127.0.0.1:0", "--embedding.url",
             f"http://127.0.0.1:{service.server_port}", *more], stderr=subprocess.PIPE, text=True)
        port = None
        while not port:
            line = self.process.stderr.readline()
            assert line, "vecdbd does not start"
            port = re.search(r"serving .* on port (\d+)", line)
        self.url = f"http://127.0.0.1:{port[1]}"
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.done = threading.Event()
        self.searcher = None

    def ask(self, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data)) as answer:
            return json.load(answer)

    def search_on(self, texts):
        """Searches without a pause, for the chart."""
        def work():
            while not self.done.is_set():
                for text in texts:
                    if not self.done.is_set():
                        self.ask("/v1/collections/passages/search", {"query": text, "top_k": 10})
        self.searcher = threading.Thread(target=work, daemon=True)
        self.searcher.start()

    def stop(self):
        self.done.set()
        if self.searcher:
            self.searcher.join()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0


def fill(server):
    """A second collection, whose vectors are embed()'s, with things to filter by."""
    server.ask("/v1/collections", {"name": "plants", "description": "Plants, by their words", "fields": [
        {"name": "plant", "type": "VARCHAR", "max_length": 60, "primary_key": True},
        {"name": "family", "type": "VARCHAR", "max_length": 40},
        {"name": "height", "type": "FLOAT"},
        {"name": "note", "type": "VARCHAR", "max_length": 400},
        {"name": "v", "type": "FLOAT_VECTOR", "dim": DIM, "metric": "COSINE"}]})
    plants = [
        ("wild thyme", "mint", 0.1, "A creeping herb of dry meadows, with small purple flowers"),
        ("sage", "mint", 0.6, "An herb with grey leaves and blue flowers, for dry soils"),
        ("water mint", "mint", 0.9, "An herb of ponds and wet meadows, with lilac flowers"),
        ("elder", "moschatel", 7.0, "A shrub with white flowers in June and black berries"),
        ("beech", "beech", 40.0, "A tree of the forests, with smooth grey bark"),
        ("oak", "beech", 35.0, "A tree of forests and meadows that lives for centuries"),
        ("<img src=x onerror=alert(1)>", "none", 0.0, "No plant, but a name to be shown as it is")]
    server.ask("/v1/collections/plants/rows", {"rows": [
        {"plant": p, "family": f, "height": h, "note": n, "v": embed(f"{p} {n}")}
        for p, f, h, n in plants]})


def search_for(page, query, rows, text=""):
    page.get_by_label("Text, a vector").fill(query)
    page.get_by_label("Filter").fill(text)
    page.get_by_label("Rows", exact=True).fill(str(rows))
    page.get_by_role("button", name="Search").click()


def check_collection(page, server):
    page.get_by_role("button", name="plants").click()
    expect(page.locator("#collection-title")).to_have_text("plants")
    stats = server.ask("/v1/collections/plants/stats")
    assert page.locator("#stat-rows").inner_text() == str(stats["rows"]) == "7"
    page.get_by_text("Fields", exact=True).click()
    assert page.locator("#fields tr").count() == 5
    assert "384 dimensions, cosine" in page.locator("#fields").inner_text()
    page.get_by_text("Fields", exact=True).click()


def check_search(page, server):
    search_for(page, "an herb with purple flowers for dry meadows", 4, 'height < 10 and family != "none"')
    page.wait_for_selector("#hits li")
    wanted = server.ask("/v1/collections/plants/search",
                        {"query": "an herb with purple flowers for dry meadows", "top_k": 4,
                         "filter": 'height < 10 and family != "none"'})
    shown = page.locator("#hits .key-of").all_inner_texts()
    assert shown == [h["id"] for h in wanted["hits"]] and len(shown) == 4
    assert shown[0] == "wild thyme" and "oak" not in shown
    assert "7" in page.locator("#stat-rows").inner_text()
    assert "exact" in page.locator("#plan").inner_text()
    assert "4 of 4 rows" in page.locator("#search-info").inner_text()


def check_passages(page):
    """What is like a row of the demo's; that row comes first."""
    page.get_by_role("button", name="passages").click()
    expect(page.locator("#collection-title")).to_have_text("passages")
    search_for(page, "=4255", 5, 'section in ["graphics", "video"]')
    expect(page.locator("#hits .key-of").first).to_have_text("4255")


def check_more_searches(page):
    expect(page.locator("#collection-title")).to_have_text("plants")
    search_for(page, "=oak", 2)  # like a row
    expect(page.locator("#hits .key-of").first).to_have_text("oak")
    search_for(page, "[1, 2]", 2)  # a vector of another dimension
    wrong = page.locator("#search-error")
    expect(wrong).to_contain_text("no array of 384 numbers")
    search_for(page, "[1, ", 2)
    expect(wrong).to_contain_text("That is no vector")
    search_for(page, "oak", 2, "height <")
    expect(wrong).to_contain_text("filter")
    search_for(page, "no plant", 7)  # what rows hold is text
    page.wait_for_selector("#hits li:nth-child(7)")
    assert page.locator("#hits img").count() == 0
    assert "<img src=x onerror=alert(1)>" in page.locator("#hits").inner_text()


def check_cluster(page):
    """A server before a cluster tells of rows alone, and has no plans; it is played."""
    def rows_alone(route):
        stats = route.fetch().json()
        route.fulfill(json={name: n if name == "rows" else 0 for name, n in stats.items()})
    page.route("**/stats", rows_alone)
    page.route("**/explain", lambda route: route.fulfill(
        status=501, json={"error": {"code": "UNSUPPORTED", "message": "no plans here"}}))
    page.get_by_role("button", name="plants").click()
    expect(page.locator("#stat-segments")).to_be_hidden()
    expect(page.locator("#stat-rows")).to_have_text("7")
    search_for(page, "oak", 3)
    expect(page.locator("#hits li")).to_have_count(3)
    expect(page.locator("#plan")).to_be_hidden()
    page.unroute("**/stats")
    page.unroute("**/explain")
    page.get_by_role("button", name="plants").click()
    expect(page.locator("#stat-segments")).to_be_visible()
    search_for(page, "oak", 3)
    expect(page.locator("#plan")).to_be_visible()


def check_live(page):
    expect(page.locator("#live-rate")).to_have_text(re.compile(r"[1-9]"), timeout=WAIT)
    curve = page.locator("#chart .p99")
    expect(curve).to_have_attribute("d", re.compile(r"(L.*){8}"), timeout=WAIT)
    for name in ("p50", "p95", "p99", "memory"):
        assert re.match(r"[\d.]+ (µs|ms|s|MiB)$", page.locator(f"#live-{name}").inner_text())


def check_names(page):
    """Everything that can be used has a name, for those who do not see it."""
    unnamed = page.evaluate("""() => [...document.querySelectorAll('input, select, button')].filter(e =>
        !e.labels?.length && !e.getAttribute('aria-label') && !e.textContent.trim()).map(e => e.id)""")
    assert not unnamed, unnamed


def check_key(program, folder, browser):
    """Where the server wants a key, the page asks for it."""
    made = subprocess.run([program, "--make-key", "viewer"], capture_output=True, text=True, check=True)
    key = re.search(r"owner alone: (\S+)", made.stdout)[1]
    keys = Path(folder, "keys")
    keys.write_text(made.stdout)
    keys.chmod(0o600)
    server = Server(program, folder, "--security.keys", str(keys))
    try:
        page = browser.new_page()
        page.goto(server.url + "/console")
        page.get_by_label("Key or token").fill(key)
        page.get_by_role("button", name="Use").click()
        page.wait_for_selector("nav button")
        expect(page.locator("#chart-note")).to_contain_text("monitor")
        expect(page.locator("#key-form")).to_be_hidden()
    finally:
        server.stop()


def picture(page, shots, name, scheme):
    page.emulate_media(color_scheme=scheme)
    expect(page.locator("html")).to_have_attribute("data-theme", scheme)
    page.screenshot(path=shots / f"console-{name}-{scheme}.png", full_page=True)


def use(program, folder, browser, shots):
    server = Server(program, folder)
    complaints = []
    try:
        fill(server)
        server.search_on(Path("examples/data/questions.txt").read_text().splitlines())
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT)
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on("request", lambda r: None if r.url.startswith(server.url) else complaints.append(r.url))
        page.goto(server.url + "/console")
        check_collection(page, server)
        check_search(page, server)
        check_names(page)
        check_live(page)
        check_passages(page)
        for scheme in ("light", "dark"):
            picture(page, shots, "wide", scheme)
        assert not complaints, complaints
        page.get_by_role("button", name="plants").click()
        check_more_searches(page)  # some of whose answers are 400, which the browser reports
        check_cluster(page)
        page.set_viewport_size({"width": 420, "height": 900})
        picture(page, shots, "narrow", "light")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "too wide"
    finally:
        server.stop()


def main(program, shots):
    shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        subprocess.run(["build/examples/demo", "examples/data", f"{folder}/db"],
                       stdout=subprocess.DEVNULL, check=True)
        browser = play.chromium.launch(executable_path=shutil.which("chromium"),
                                       args=["--no-sandbox"])
        try:
            use(program, folder, browser, shots)
            check_key(program, folder, browser)
        finally:
            browser.close()
    print(f"the console works; pictures are in {shots}")


if __name__ == "__main__":
    arguments = [os.path.abspath(a) for a in sys.argv[1:]]
    os.chdir(Path(__file__).resolve().parents[2])
    main(arguments[0], Path(arguments[1]))
