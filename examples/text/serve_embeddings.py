"""An OpenAI-compatible POST /v1/embeddings for all-MiniLM-L6-v2, on loopback.

Requests that arrive together are embedded as one batch: a thread takes what waits, sorted by
length so that little is padded. `make embeddings` starts it.
"""

import argparse
import base64
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from minilm import MiniLM

MODEL = "all-MiniLM-L6-v2"
BATCH = 32
LIMIT = 2048  # texts of one request
BODY = 32 << 20


class Embedder:
    """Embeds texts of many threads in batches."""

    def __init__(self):
        self.model = MiniLM()
        self.waiting = queue.Queue()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        while True:
            jobs = [self.waiting.get()]
            while len(jobs) < BATCH:
                try:
                    jobs.append(self.waiting.get_nowait())
                except queue.Empty:
                    break
            try:
                vectors = self.model.embed([text for text, _, _, _ in jobs])
                for (_, out, place, done), vector in zip(jobs, vectors):
                    out[place] = vector
                    done.release()
            except Exception as error:  # told to each who waits
                for _, out, place, done in jobs:
                    out[place] = error
                    done.release()

    def embed(self, texts):
        out = [None] * len(texts)
        done = threading.Semaphore(0)
        for place in sorted(range(len(texts)), key=lambda i: len(texts[i])):
            self.waiting.put((texts[place], out, place, done))
        for _ in texts:
            done.acquire()
        return out


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def fail(self, message, status=400):
        self.close_connection = True
        self.answer(status, {"error": {"message": message, "type": "invalid_request_error"}})

    def do_GET(self):
        if self.path in ("/healthz", "/v1/models"):
            self.answer(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        else:
            self.fail("not found", 404)

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if self.path != "/v1/embeddings":
            return self.fail("not found", 404)
        if not length.isdigit() or int(length) > BODY:
            return self.fail("a Content-Length of at most 32 MiB is needed", 413)
        try:
            question = json.loads(self.rfile.read(int(length)))
            texts = question["input"]
        except (ValueError, KeyError, TypeError):
            return self.fail("the body must be a JSON object with \"input\"")
        texts = [texts] if isinstance(texts, str) else texts
        good = isinstance(texts, list) and 0 < len(texts) <= LIMIT
        if not good or not all(isinstance(t, str) for t in texts):
            return self.fail(f"\"input\" must be a string or 1 to {LIMIT} strings")
        vectors = self.server.embedder.embed(texts)
        if any(isinstance(v, Exception) for v in vectors):
            return self.fail("embedding failed", 500)
        if question.get("encoding_format") == "base64":
            values = [base64.b64encode(v.tobytes()).decode() for v in vectors]
        else:
            values = [v.tolist() for v in vectors]
        data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(values)]
        words = sum(len(t.split()) for t in texts)
        self.answer(200, {"object": "list", "data": data, "model": MODEL,
                          "usage": {"prompt_tokens": words, "total_tokens": words}})

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    options = parser.parse_args()
    server = Server((options.host, options.port), Handler)
    server.embedder = Embedder()
    print(f"embeddings: {MODEL} at http://{options.host}:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
