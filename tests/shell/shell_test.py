"""Tests of the shell: what its commands do, bad input, hostile files, and the prompt at a terminal.

Usage: shell_test.py build/asan/vecdb. What the shell says is read as JSON and held against lists in
Python. Nothing waits for a time: a test reads until the shell has said what is expected.
"""

import http.server
import json
import math
import os
import pty
import re
import select
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

SHELL = None
HERE = os.path.dirname(os.path.abspath(__file__))
ENVIRONMENT = {
    **os.environ,
    "VECDB_HISTORY": "",
    "TERM": "xterm",
    "LC_ALL": "C.UTF-8",
    # A size that was believed before it was checked would be refused, and give another code.
    "ASAN_OPTIONS": "detect_leaks=1:max_allocation_size_mb=256:allocator_may_return_null=1",
    "LSAN_OPTIONS": "print_suppressions=0:suppressions=" + os.path.join(HERE, "leaks.supp"),
}
PATIENCE = float(os.environ.get("PATIENCE", 60))  # seconds until a shell that says nothing counts as hung

OK, ARGUMENT, OPTION, LIMIT, NAME, SCHEMA, NOT_FOUND, EXISTS, UNKNOWN_FIELD = range(9)
MISSING_FIELD, TYPE, DIMENSION = 9, 10, 11
NULL_VALUE, TOO_LONG, FILTER, FILTER_PARAM, K, INDEX_PARAM, READ_ONLY, RANGE = 15, 16, 18, 19, 20, 21, 22, 23
BUSY, CANCELLED, UNSUPPORTED, VERSION, CORRUPT, NOT_A_DATABASE, KEY = 40, 42, 45, 46, 63, 65, 66


def run(*arguments, text=None):
    """Runs the shell to its end: its exit status, what it said, and its errors."""
    done = subprocess.run([SHELL, *arguments], input=text if text is not None else "", text=True,
                          capture_output=True, env=ENVIRONMENT, timeout=PATIENCE)
    if "Sanitizer" in done.stderr or "runtime error" in done.stderr:
        raise AssertionError(done.stderr)
    return done.returncode, done.stdout, done.stderr


def values(text):
    return [json.loads(line) for line in text.splitlines()]


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.db = self.path("db")

    def tearDown(self):
        self.folder.cleanup()

    def path(self, name, content=None):
        path = os.path.join(self.folder.name, name)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def ask(self, *commands):
        """The JSON values that commands answer; they must not fail."""
        status, out, errors = run("--json", self.db, text="\n".join(commands))
        self.assertEqual((status, errors), (0, ""), commands)
        return values(out)

    def codes(self, commands, db=None):
        """The code of each command, all of which fail."""
        status, out, errors = run("--json", "-k", db or self.db, text="\n".join(commands))
        found = values(errors)
        self.assertEqual(len(found), len(commands), (out, errors))
        self.assertEqual(status, found[0]["code"])
        return [e["code"] for e in found]

    def same(self, expected, commands, db=None):
        for command, want, got in zip(commands, expected, self.codes(commands, db)):
            self.assertEqual(got, want, command)


# ---- Files of vectors ----

FORMATS = {"<f2": "e", "<f4": "f", "<f8": "d", "|i1": "b", "|u1": "B", "<i4": "i", "<i8": "q"}


def npy(rows, descr="<f4", shape=None, order="False", version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape or (len(rows), len(rows[0]))}, }}"
    header = header.encode().ljust(117) + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    body = b"".join(struct.pack(f"<{len(r)}{FORMATS.get(descr, 'f')}", *r) for r in rows)
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + body


def xvecs(rows, kind):
    return b"".join(struct.pack(f"<i{len(r)}{kind}", len(r), *r) for r in rows)


def vectors(n, dim):
    """Small whole numbers, exact in every type; no two rows are alike."""
    return [[(i * 7 + j * 3 + i // 11) % 23 for j in range(dim)] + [i % 127, i // 127]
            for i in range(n)]


def l2(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b))


class Rows(Case):
    SCHEMA = ("create all id int64 key, b bool, i8 int8, i16 int16, i32 int32 default=7, i64 int64 nullable, "
              "f float, d double, s varchar(20) default=\"it is\" hash, a array(int32, 4), "
              "t array(varchar(9), 3) nullable, v vector(3) l2 FLAT about=\"a vector\", "
              "h vector(2, float16) ip, g vector(2, bfloat16), c vector(2, int8) l2 HNSW(m=8), "
              "x vector(16, binary), p sparse, j json nullable, k json(50) default=\"{\\\"z\\\":[1]}\"")
    FULL = {"id": 1, "b": True, "i8": -128, "i16": 32767, "i32": -2147483648, "i64": 9223372036854775807,
            "f": 0.1, "d": 0.1, "s": "ä\"\\\n;", "a": [1, -2, 3], "t": ["x", ""], "v": [1, 2.5, -3],
            "h": [0.5, 2], "g": [1.5, -2], "c": [-128, 127], "x": [1, 255], "p": {"7": 1.5, "70000": -2},
            "j": {"a": [0.1, None, "ü\n", {"b": True}]}, "k": "text"}

    def test_every_type(self):
        least = {"id": 2, "b": False, "i8": 0, "i16": 1, "f": -1.5e10, "d": 1e-300, "a": [], "v": [0, 0, 1],
                 "h": [1, 1], "g": [1, 1], "c": [0, 1], "x": [0, 0], "p": {}}
        filled = {**least, "i32": 7, "i64": None, "s": "it is", "t": None, "j": None, "k": {"z": [1]}}
        got = self.ask(self.SCHEMA, f"insert all {json.dumps(self.FULL)} {json.dumps(least)}",
                       "get all 1 2 fields=*")
        self.assertEqual(got, [self.FULL, filled])
        line = self.ask("schema all")[0]["schema"]
        self.assertEqual(self.ask(f"create again {line}", "schema again")[0]["schema"], line)
        self.assertEqual(line, self.SCHEMA[len("create all "):].replace("g vector(2, bfloat16)",
                         "g vector(2, bfloat16) cosine").replace("x vector(16, binary)",
                         "x vector(16, binary) hamming"))
        # The table shows the same, without what would steer a terminal.
        self.ask('upsert all ' + json.dumps({**least, "s": "\u001b[2Jclear"}))
        status, out, _ = run(self.db, "-c", "scan all fields=s,v")
        self.assertEqual(status, 0)
        self.assertEqual([line.split() for line in out.splitlines()][2:],
                         [["1", 'ä"\\', ";", "[1,", "2.5,", "-3]"], ["2", "?[2Jclear", "[0,", "0,", "1]"]])

    def test_write_read_delete(self):
        rows = [{"id": i, "n": i * i, "v": [i, 1]} for i in range(2500)]
        data = self.path("rows.jsonl", "\n\n".join(map(json.dumps, rows)))
        got = self.ask("create d id int64 key, n int64, v vector(2) l2", f"import d {data} batch=999",
                       "count d", "scan d limit=all fields=*")
        self.assertEqual((got[0]["imported"], got[1], got[2:]), (2500, {"count": 2500}, rows))
        self.assertEqual(self.ask("scan d where=(n > {low}) :low=100 limit=3 offset=1 fields=n"),
                         [{"id": i, "n": i * i} for i in (12, 13, 14)])
        self.assertEqual(self.ask("scan d after=2497 fields=id"), [{"id": 2498}, {"id": 2499}])
        self.assertEqual([r["id"] for r in self.ask("scan d")], list(range(20)))
        got = self.ask("delete d 0 1 99999", "delete d where='id % 2 == 0'", "count d",
                       'upsert d {"id": 3, "n": -1, "v": [0, 0]}', "get d 3", "stats d")
        self.assertEqual(got[:4], [{"deleted": 2}, {"deleted": 1249}, {"count": 1249}, {"id": 3, "n": -1}])
        got = self.ask('update d {"id": 3, "n": 9} {"id": 5, "v": [7, 7]}', "get d 3 5 fields=*")
        self.assertEqual(got, [{"id": 3, "n": 9, "v": [0, 0]}, {"id": 5, "n": 25, "v": [7, 7]}])
        # What was exported is what would be imported.
        _, out, _ = run("--json", self.db, "-c", "scan d limit=all fields=*")
        again = self.ask("create e id int64 key, n int64, v vector(2) l2",
                         f"import e {self.path('out.jsonl', out)}", "scan e limit=all fields=*")
        self.assertEqual(again[1:], values(out))
        # Standard input is a file, too.
        status, out, _ = run("--json", self.db, "-c", "import e - limit=1; count e where=(id == 77777)",
                             text='{"id": 77777, "n": 0, "v": [1, 2]}\n{"id": 77778}\n')
        self.assertEqual((status, values(out)[1]), (0, {"count": 1}))

    def test_string_keys_and_auto(self):
        got = self.ask("create s k varchar(20) key, v vector(2)", "create a id int64 key auto, v vector(2)",
                       'insert s {"k": "b=1", "v": [1, 0]} {"k": "a b", "v": [0, 1]}',
                       'insert a {"v": [1, 0]} {"v": [0, 1]}', "scan s", 'get s "b=1"', "scan s after='a b'",
                       "delete s 'a b'", "count s", "scan a")
        self.assertEqual(got, [{"k": "a b"}, {"k": "b=1"}, {"k": "b=1"}, {"k": "b=1"}, {"deleted": 1},
                               {"count": 1}, {"id": 1}, {"id": 2}])
        self.assertEqual([c["collection"] for c in self.ask("list")], ["a", "s"])


class Changes(Case):
    """Fields that come and go, rows that expire, vectors that learn."""

    def setUp(self):
        super().setUp()
        self.ask("create d id int64 key, n int32 default=5, until int64 nullable, v vector(2) l2",
                 'insert d {"id": 1, "n": 5, "v": [1, 2]} {"id": 2, "n": 6, "until": 1000, "v": [3, 4]}')

    def test_fields(self):
        got = self.ask('field add d lang varchar(8) nullable hash, year int32 default=2000',
                       "field rename d n number", "field drop d until", 'update d {"id": 2, "lang": "en"}', "scan d")
        self.assertEqual(got, [{"id": 1, "number": 5, "lang": None, "year": 2000},
                               {"id": 2, "number": 6, "lang": "en", "year": 2000}])
        self.same([EXISTS, SCHEMA, SCHEMA, UNKNOWN_FIELD, SCHEMA, UNKNOWN_FIELD, NOT_FOUND, ARGUMENT],
                  ["field add d year int32 nullable", "field add d x int32", "field add d x nothing",
                   "field drop d until", "field drop d id", "field rename d n m", "field drop none x", "field add d"])

    def test_json_indexes(self):
        line = 'create j id int64 key, meta json nullable double["price"] varchar["a b"]["c"], v vector(2) l2'
        got = self.ask(line, "schema j", 'index create j meta bool[0]', 'index drop j meta ["price"]', "schema j",
                       'insert j {"id": 1, "meta": {"a b": {"c": "x"}}, "v": [1, 2]}', "flush j",
                       """count j where=(meta["a b"]["c"] == 'x')""")
        line = line.removeprefix("create j ")
        self.assertEqual(got[0]["schema"], line)
        self.assertEqual(got[1]["schema"], line.replace('double["price"] ', "").replace('"c"]', '"c"] bool[0]'))
        self.assertEqual(got[2], {"count": 1})
        self.same([EXISTS, SCHEMA, SCHEMA, NOT_FOUND], ["index create j meta bool[0]", "index create j meta double[x]",
                                                        "index create j v bool[0]", "index drop j meta [7]"])

    def test_expire(self):
        got = self.ask("expire show d", "expire set d until ttl_ms=5000", "expire show d", "count d", "expire drop d",
                       "expire show d", 'insert d {"id": 3, "n": 7, "until": 1, "v": [0, 0]}', "get d 3 fields=n")
        never = {"field": None, "ttl_ms": None}
        self.assertEqual(got, [never, {"field": "until", "ttl_ms": 5000}, {"count": 1}, never, {"id": 3, "n": 7}])
        status, out, _ = run(self.db, "-c", "expire show d; expire set d until; expire show d")
        self.assertEqual((status, out), (0, "Rows do not expire.\nRows expire 0 ms after the time in until.\n"))
        self.same([SCHEMA, TYPE, TYPE], ["expire set d n", "expire set d until ttl_ms=soon", "expire set d until ttl_ms=-1"])

    def test_learning(self):
        self.same([SCHEMA, SCHEMA, NOT_FOUND], ["pull d v 1", "push d v 1 vector=[1,1]", "optimizer show d v"])
        got = self.ask("optimizer set d v rate=0.5", "pull d v 1 9", "optimizer show d v",
                       "push d v 1 vector=[2,-2]", "push d v 1 vector=[1,1] kind=delta expected=2",
                       "push d v 9 vector=[8,8] kind=value insert=yes", "pull d v 1 9", "search d vector=[8,8] k=1")
        none, first = {"key": "9", "version": 0, "vector": None}, {"key": "1", "version": 1, "vector": [1, 2]}
        self.assertEqual(got[:2], [first, none])
        self.assertEqual(got[2], {"kind": "average", "rate": 0.5, "window": 1, "unit": False})
        self.assertEqual(got[3:6], [{"version": 2}, {"version": 3}, {"version": 1}])
        self.assertEqual(got[6:8], [{"key": "1", "version": 3, "vector": [1, 4]},
                                    {"key": "9", "version": 1, "vector": [8, 8]}])
        self.assertEqual(got[8]["score"], 0)
        got = self.ask("optimizer set d v kind=adam beta1=0.5 unit=yes", "optimizer show d v", "optimizer drop d v")
        self.assertEqual((got[0]["kind"], got[0]["beta1"], got[0]["unit"]), ("adam", 0.5, True))
        self.assertAlmostEqual(got[0]["rate"], 0.001)
        status, out, _ = run(self.db, "-c", "optimizer set d v; pull d v 1 7; optimizer show d v")
        self.assertEqual(status, 0)
        self.assertRegex(out, r"^key +version +v *\n-+.*\n1 +\d+ +\[1, 4\]\n7 +0 +.*\nkind=average rate=0.01 window=1 unit=no\n$")
        self.same([VERSION, NOT_FOUND, DIMENSION, ARGUMENT, OPTION, TYPE, TYPE, RANGE, UNKNOWN_FIELD, ARGUMENT],
                  ["push d v 1 vector=[1,1] expected=9", "push d v 77 vector=[1,1]", "push d v 1 vector=[1]",
                   "push d v 1", "push d v 1 vector=[1,1] kind=x", "push d n 1 vector=[1]", "push d v x vector=[1,1]",
                   "optimizer set d v rate=-1", "pull d no 1", "pull d v"])


class Import(Case):
    def test_formats(self):
        rows = vectors(300, 6)
        half = [[x / 2 for x in r] for r in rows]
        commands, expected = [], []
        for i, (descr, kind) in enumerate(FORMATS.items()):
            data = half if kind in "efd" else rows
            file = self.path(f"{i}.npy", npy(data, descr, version=1 + i % 3))
            for element in ("", ", float16", ", bfloat16") + (() if kind in "efd" else (", int8",)):
                name = f"c{len(commands)}"
                commands.append(f"create {name} id int64 key, v vector(8{element}) l2; "
                                f"import {name} v={file} wait=no; scan {name} limit=all fields=*")
                expected.append(data)
        for kind, data in (("fvecs", half), ("bvecs", rows)):
            file = self.path(f"x.{kind}", xvecs(data, "f" if kind == "fvecs" else "B"))
            commands.append(f"create {kind} id int64 key, v vector(8) l2; import {kind} v={file} skip=10 "
                            f"limit=200 batch=64 wait=no; scan {kind} limit=all fields=*")
            expected.append(data)
        out = iter(self.ask(*commands))
        for command, data in zip(commands, expected):
            n, first = (200, 10) if "skip" in command else (300, 0)
            self.assertEqual(next(out)["imported"], n)
            for i in range(first, first + n):
                self.assertEqual(next(out), {"id": i, "v": data[i]}, command)

    def test_beside_lines(self):
        rows = vectors(40, 2)
        lines = self.path("l.jsonl", "".join(json.dumps({"id": 100 + i, "junk": 1}) + "\r\n" for i in range(40)))
        file = self.path("v.npy", npy(rows))
        bits = self.path("b.npy", npy([[i, 255 - i] for i in range(40)], "|u1"))
        create = "create {} id int64 key, v vector(4) l2, b vector(16, binary)"
        got = self.ask(create.format("d"), f"import d {lines} v={file} b={bits} extra=skip skip=5 limit=30 batch=7",
                       "scan d limit=all fields=*")
        self.assertEqual(got[1:], [{"id": 100 + i, "v": rows[i], "b": [i, 255 - i]} for i in range(5, 35)])
        short = self.path("short.npy", npy(rows[:39]))
        more = self.path("more.npy", npy(rows + rows[:1]))
        bits41 = self.path("bits41.npy", npy([[1, 2]] * 41, "|u1"))
        wrong = self.path("wrong.npy", npy([r[:3] for r in rows]))
        big = self.path("big.npy", npy([[300] * 2] * 40, "<i4"))
        self.ask("create i id int64 key, v vector(2, int8) l2")
        prefix = f"import d {lines} extra=skip"
        self.same(
            [ARGUMENT, ARGUMENT, ARGUMENT, DIMENSION, TYPE, TYPE, OPTION, UNKNOWN_FIELD, ARGUMENT,
             MISSING_FIELD, RANGE, EXISTS, OPTION, RANGE, TYPE, NOT_FOUND, UNSUPPORTED, UNSUPPORTED],
            [f"{prefix} v={short} b={bits}", f"{prefix} v={more} b={bits41}", f"{prefix} v={more} b={bits}",
             f"{prefix} v={wrong}", f"{prefix} b={file}", f"{prefix} id={file}", f"{prefix} no={file}",
             f"import d {lines} v={file} b={bits}", "import d", f"{prefix} v={file}", f"import i v={big}",
             f"{prefix} v={file} b={bits} mode=insert", f"{prefix} mode=both", f"{prefix} batch=0",
             f"{prefix} skip=x", "import d no.jsonl", f"import d {self.folder.name}", f"import d v={lines}"])

    def test_hostile_vectors(self):
        good = npy(vectors(4, 2))
        huge = 1 << 60
        files = {
            "empty.npy": (b"", CORRUPT), "magic.npy": (b"x" + good[1:], CORRUPT),
            "cut.npy": (good[:-1], CORRUPT), "head.npy": (good[:60], CORRUPT), "ten.npy": (good[:10], CORRUPT),
            "version.npy": (good[:6] + b"\x09" + good[7:], UNSUPPORTED),
            "long.npy": (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + good[12:], CORRUPT),
            "rows.npy": (npy(vectors(4, 2), shape=f"({huge}, 4)"), CORRUPT),
            "product.npy": (npy(vectors(4, 2), shape="(4611686018427387905, 4)"), CORRUPT),
            "digits.npy": (npy(vectors(4, 2), shape=f"({'9' * 40}, 4)"), UNSUPPORTED),
            "wide.npy": (npy(vectors(4, 2), shape=f"(1, {huge})"), LIMIT),
            "none.npy": (npy(vectors(4, 2), shape="(4, 0)"), LIMIT),
            "minus.npy": (npy(vectors(4, 2), shape="(-4, 4)"), UNSUPPORTED),
            "three.npy": (npy(vectors(4, 2), shape="(2, 2, 4)"), UNSUPPORTED),
            "scalar.npy": (npy(vectors(4, 2), shape="()"), UNSUPPORTED),
            "shape.npy": (good.replace(b"shape", b"shave"), CORRUPT),
            "descr.npy": (good.replace(b"descr", b"descs"), CORRUPT),
            "object.npy": (good.replace(b"<f4", b"|O8"), UNSUPPORTED),
            "big.npy": (good.replace(b"<f4", b">f4"), UNSUPPORTED),
            "order.npy": (npy(vectors(4, 2), order="True"), UNSUPPORTED),
            "noise.npy": (good[:10] + bytes(range(256)) * 2, CORRUPT),
            "empty.fvecs": (b"", CORRUPT), "three.fvecs": (b"\1\0\0", CORRUPT),
            "cut.fvecs": (xvecs(vectors(4, 2), "f")[:-1], CORRUPT),
            "minus.fvecs": (struct.pack("<if", -1, 0), LIMIT), "none.bvecs": (struct.pack("<i", 0), LIMIT),
            "wide.bvecs": (struct.pack("<i", 0x7fffffff) + b"x" * 99, LIMIT),
            "mixed.bvecs": (xvecs([[1, 2, 3, 4]] * 2, "B") + struct.pack("<i4B", 3, 1, 2, 3, 4), CORRUPT),
            "vectors.txt": (b"1 2 3", UNSUPPORTED),
        }
        self.ask("create d id int64 key, v vector(4) l2")
        commands = [f"import d v={self.path(name, content)}" for name, (content, _) in files.items()]
        self.same([code for _, code in files.values()], commands)
        self.same([code for _, code in files.values()], [c.replace("import d v=", "search d file=") +
                                                         " at=2" for c in commands])
        self.assertEqual(self.ask("count d"), [{"count": 0}])

    def test_hostile_lines(self):
        lines = {
            b"{": TYPE, b"[]": TYPE, b"1": TYPE, b"\x00": TYPE, b'{"id": 1} x': TYPE, b'{"id": "\xff"}': TYPE,
            b'{"id": 1, "id": 2}': TYPE, b"[" * 100000: TYPE, b'{"id": 1e3}': TYPE, b'{"id": null}': NULL_VALUE,
            b'{"id": 99999999999999999999}': TYPE, b'{"id": 1, "s": 5}': TYPE, b'{"x": 1}': UNKNOWN_FIELD,
            b'{"id": 1}': MISSING_FIELD, b'{"v": [1, 2]}': MISSING_FIELD, b'{"id": 1, "v": [1]}': DIMENSION,
            b'{"id": 1, "v": [1, "2"]}': TYPE, b'{"id": 1, "v": 1}': TYPE, b'{"id": 1, "n": 300}': RANGE,
            b'{"id": 1, "n": 1.5}': TYPE, b'{"id": 1, "p": {"-1": 2}}': TYPE, b'{"id": 1, "p": [1]}': TYPE,
            b'{"id": 1, "p": {"4294967296": 2}}': RANGE, b'{"id": 1, "p": {"1": "x"}}': TYPE,
            b'{"id": 1, "a": {}}': TYPE, b'{"id": 1, "a": ["x"]}': TYPE,
            b'{"id": 1, "a": [' + b"1," * 5000 + b"1]}": TOO_LONG,
            b'{"id": 1, "v": [1, 2], "s": "' + b"y" * 100000 + b'"}': TOO_LONG,
        }
        self.ask("create d id int64 key, n int8 default=0, s varchar(9) nullable, a array(int8, 9) nullable, "
                 "v vector(2) l2, p sparse", 'insert d {"id": 5, "v": [1, 1], "p": {}}')
        row = b'{"id": 7, "v": [1, 2], "p": {}}\n'
        commands = [f"import d {self.path(f'{i}.jsonl', row + line)}" for i, line in enumerate(lines)]
        status, _, errors = run("--json", "-k", self.db, text="\n".join(commands))
        for (line, code), error in zip(lines.items(), values(errors)):
            want = {b'{"id": 1, "v": [1, 2], "s"': MISSING_FIELD}.get(line[:26], code)
            self.assertEqual(error["code"], want, (line[:40], error))
            self.assertRegex(error["message"], r"jsonl line 2: ")
        self.assertEqual(len(values(errors)), len(lines))
        self.assertEqual(self.ask("scan d"), [{"id": 5, "n": 0, "s": None, "a": None}])


class Search(Case):
    def setUp(self):
        super().setUp()
        self.rows = vectors(400, 6)
        self.file = self.path("v.npy", npy(self.rows))
        lines = "\n".join(json.dumps({"id": i, "n": i % 5, "t": "odd" if i % 2 else "even"}) for i in range(400))
        self.ask("create d id int64 key, n int32, t varchar(9), v vector(8) l2",
                 f"import d {self.path('l.jsonl', lines)} v={self.file}")

    def nearest(self, query, k=10, passes=lambda i: True):
        scores = sorted((l2(query, r), i) for i, r in enumerate(self.rows) if passes(i))
        return [{"score": s, "row": {"id": i, "n": i % 5, "t": "odd" if i % 2 else "even"}}
                for s, i in scores[:k]]

    def test_ways(self):
        want = self.nearest(self.rows[33])
        for way in ("row=33", f"file={self.file} at=33", f"vector={self.rows[33]}"):
            self.assertEqual(self.ask(f"search d {way}"), want, way)
        for plan in ("exact", "auto"):
            got = self.ask(f"search d row=5 k=400 plan={plan} recall=0.9 where=(t == {{t}} and n in {{list}}) "
                           ":t=odd :list=[1,2]")
            self.assertEqual(got, self.nearest(self.rows[5], 400, lambda i: i % 2 and i % 5 in (1, 2)))
        inside = [h for h in self.nearest(self.rows[7], 400) if h["score"] <= 90]
        self.assertEqual(self.ask("search d row=7 radius=90 k=400"), inside)
        self.assertEqual(self.ask("search d row=7 k=1 fields=v"), [{"score": 0, "row": {"id": 7, "v": self.rows[7]}}])
        text = self.ask("explain d row=7 where=(n == 1)")[0]["explain"]
        self.assertIn("n == 1", text)
        status, out, _ = run(self.db, "-c", "search d row=7 k=3; explain d row=7")
        self.assertEqual(status, 0)
        self.assertRegex(out, r"^ *score +id +n +t\n-+.*\n *0\.0000 +7 ")
        self.assertRegex(out, r"3 of 400 rows in [0-9.]+ ms, 400 compared\n")

    def test_parameters(self):
        filters = [("n == {x}", "3", lambda i: i % 5 == 3), ("t == {x}", "odd", lambda i: i % 2),
                   ("t == {x}", '"odd"', lambda i: i % 2), ("id < {x}", "9.5", lambda i: i < 10),
                   ("(n > 1) == {x}", "true", lambda i: i % 5 > 1), ("t in {x}", '["odd", "no"]', lambda i: i % 2),
                   ("id in {x}", "[1, 2.0]", lambda i: i in (1, 2)), ("id in {x}", "[]", lambda i: False)]
        for text, value, passes in filters:
            got = self.ask(f"count d where=({text}) :x={value}")
            self.assertEqual(got, [{"count": sum(1 for i in range(400) if passes(i))}], (text, value))

    def test_text(self):
        seen = []

        class Service(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                seen.append((self.path, body, self.headers.get("Authorization")))
                answer = answers.get(body["input"][0], {"data": [{"embedding": [1.0] * 8}]})
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(500 if body["input"][0] == "fails" else 200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        answers = {"short": {"data": [{"embedding": [1.0]}]}, "none": {"data": []}, "noise": b"{[",
                   "words": {"data": [{"embedding": ["x"] * 8}]}, "wide": {"data": [{"embedding": [1] * 70000}]}}
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        ENVIRONMENT["VECDB_EMBED_KEY"] = "secret"
        try:
            got = self.ask(f"set embed {url}/", "set model m1", 'search d text="a \\"b\\" ä" k=3')
            self.assertEqual(got, self.nearest([1] * 8, 3))
            self.assertEqual(seen, [("/v1/embeddings", {"model": "m1", "input": ['a "b" ä']}, "Bearer secret")])
            ENVIRONMENT["VECDB_EMBED_URL"] = url
            words = ["short", "none", "noise", "words", "wide", "fails"]
            self.same([DIMENSION, TYPE, TYPE, TYPE, TYPE, 61], [f"search d text={w}" for w in words])
        finally:
            del ENVIRONMENT["VECDB_EMBED_KEY"]
            ENVIRONMENT.pop("VECDB_EMBED_URL", None)
            server.shutdown()
            server.server_close()
        # Nobody listens any more; and only HTTP is spoken.
        self.assertEqual(run(self.db, "--embed", url, "-c", "search d text=x")[0], NOT_FOUND)
        self.assertEqual(run(self.db, "--embed", "file:///etc", "-c", "search d text=x")[0], 61)

    def test_groups(self):
        for size in (1, 3):
            hits = self.nearest(self.rows[9], 400, lambda i: i % 2)
            order = list(dict.fromkeys(h["row"]["n"] for h in hits))[:4]
            want = [h for n in order for h in [h for h in hits if h["row"]["n"] == n][:size]]
            got = self.ask(f"groups d row=9 by=n k=4 size={size} where=(t == {{t}}) :t=odd")
            self.assertEqual(got, want)
        self.assertEqual(self.ask("groups d row=9 by=t k=1 fields=id"), [{"score": 0, "row": {"id": 9, "t": "odd"}}])
        status, out, _ = run(self.db, "-c", "groups d row=9 by=n k=2 size=2")
        self.assertEqual((status, len(re.findall(r"^ *[0-9.]+ +\d+ +\d ", out, re.M))), (0, 4), out)
        self.same([ARGUMENT, UNKNOWN_FIELD, K, RANGE, OPTION],
                  ["groups d row=1", "groups d row=1 by=no", "groups d row=1 by=n k=100 size=1000",
                   "groups d row=1 by=n size=0", "groups d row=1 by=n weight=2"])

    def test_hybrid(self):
        def ranking(parts, count):
            sums = {}
            for query, k, weight, passes in parts:
                for place, hit in enumerate(self.nearest(query, k, passes)):
                    i = hit["row"]["id"]
                    sums[i] = sums.get(i, 0) + count(place, hit["score"], weight)
            return sorted(((-x, i) for i, x in sums.items()))[:8]

        a, b = self.rows[33], self.rows[180]
        odd = (b, 30, 2, lambda i: i % 2)
        words = f"hybrid d (row=33) (vector={b} k=30 weight=2 where=(t == {{t}} and n >= 0) :t=\"odd\") k=8"
        for extra, count in (("", lambda place, score, w: w / (61 + place)),
                             (" fusion=rrf rrf_k=5", lambda place, score, w: w / (5 + place)),
                             (" fusion=weighted", lambda place, score, w: w * (1 - 2 * math.atan(score) / math.pi))):
            want = ranking([(a, 100, 1, lambda i: True), odd], count)
            got = self.ask(words + extra)
            self.assertEqual([h["row"]["id"] for h in got], [i for _, i in want], extra)
            for hit, (x, _) in zip(got, want):
                self.assertAlmostEqual(hit["score"], -x, 5)
        near = [h for h in self.nearest(a, 400) if h["score"] <= 60]
        got = self.ask("hybrid d (row=33 radius=60 k=400 weight=-1) k=400 fusion=scores fields=id")
        self.assertEqual(sorted((-h["score"], h["row"]["id"]) for h in got),
                         [(h["score"], h["row"]["id"]) for h in near])
        self.same([ARGUMENT, ARGUMENT, ARGUMENT, OPTION, OPTION, RANGE, K, FILTER, OPTION],
                  ["hybrid d", "hybrid d row", "hybrid d (k=3)", "hybrid d (row=1 fields=id)",
                   "hybrid d (row=1) fusion=x", "hybrid d (row=1 weight=0)", "hybrid d (row=1) k=0",
                   "hybrid d (row=1 where=(n = = 1))", "hybrid d (row=1 row=2)"])

    def test_sparse_and_several(self):
        got = self.ask("create s id int64 key, p sparse, v vector(2) l2",
                       'insert s {"id": 1, "p": {"3": 1, "9": 2}, "v": [0, 0]} {"id": 2, "p": {"9": 1}, "v": [3, 4]}',
                       'search s field=p vector={"9": 2}', "search s field=p row=2", "search s field=v vector=[3,4] k=1")
        self.assertEqual([(h["row"]["id"], h["score"]) for h in got], [(1, 4), (2, 2), (1, 2), (2, 1), (2, 0)])
        self.same([ARGUMENT, TYPE, UNKNOWN_FIELD], ["search s row=1", "search s field=id row=1", "search s field=no row=1"])


class Admin(Case):
    def test_upkeep(self):
        rows = vectors(6000, 6)
        file, copy, again = self.path("v.npy", npy(rows)), self.path("copy"), self.path("again")
        got = self.ask("create d id int64 key, v vector(8) l2", f"import d v={file}", "index list d",
                       "delete d where=(id < 1500)", "compact d", "stats d", "index drop d v", "index list d v",
                       "index create d v HNSW(m=8, ef_construction=40)", "index list d", "flush d", "wait d", "warm d",
                       "warm d where=(id < {n}) :n=1700", "check", f"backup {copy}", f"restore {copy} {again}", "info", "drop d", "list")
        imported, index, deleted, stats, built, warm, check, info = got
        self.assertEqual(warm, {"warm": 200})
        self.assertEqual((imported["imported"], deleted["deleted"], check), (6000, 1500, {"check": "ok"}))
        self.assertEqual((stats["rows"], stats["rows_deleted"], stats["segments_sealed"]), (4500, 0, 1))
        self.assertEqual((index["field"], index["rows"], built["type"], built["rows"]), ("v", 6000, "HNSW", 4500))
        self.assertGreater(len(built["points"]), 0)
        self.assertEqual((info["collections"], info["rows"], info["state"]), (1, 4500, "open"))
        for path in (copy, again):
            status, out, _ = run("--json", path, "-c", "count d; search d row=2000 k=1")
            self.assertEqual((status, values(out)), (0, [{"count": 4500}, {"score": 0, "row": {"id": 2000}}]))

    def test_damage(self):
        rows = self.path("v.npy", npy(vectors(500, 6)))
        self.ask("create d id int64 key, v vector(8) l2", f"import d v={rows}")
        name = next(f for f in os.listdir(self.db) if f.endswith(".rows"))
        with open(os.path.join(self.db, name), "r+b") as file:
            file.seek(os.path.getsize(file.name) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 4]))
        status, out, errors = run("--json", self.db, "-c", "check")
        self.assertEqual((status, values(errors)[0]["code"]), (CORRUPT, CORRUPT))

    def test_bad_input(self):
        self.ask("create d id int64 key, s varchar(5) nullable, v vector(2) l2",
                 'insert d {"id": 1, "v": [1, 2]}', "create k s varchar(9) key, v vector(2)")
        taken = self.path("taken", "x")
        cases = [
            ("nothing", ARGUMENT), ("index", ARGUMENT), ("'list'", ARGUMENT), ("list all", ARGUMENT),
            ("list x=1", OPTION), ("create", ARGUMENT), ("create x", ARGUMENT), ("create 1x id int64 key", NAME),
            ("create d id int64 key, v vector(2)", EXISTS), ("create x id", SCHEMA), ("create x id int65", SCHEMA),
            ("create x id int64 key, v vector(2", SCHEMA),
            ("create x id int64 key, v vector(0)", SCHEMA), ("create x id int64 key, v vector(99999)", LIMIT),
            ("create x id int64 key, v vector(99999999999999999999)", RANGE), ("create x v vector(2)", SCHEMA),
            ("create x id int64 key, v vector(2, int4)", SCHEMA), ("create x id int64 key, v vector(2) HNWS", OPTION),
            ("create x id int64 key, s varchar", SCHEMA), ("create x id int64 key fast", SCHEMA),
            ("create x id int64 key, a array(int8)", SCHEMA), ("create x id int64 key, a array(array(int8, 2), 2)", SCHEMA),
            ("create x id int64 key, v vector(2) HNSW(m=1)", INDEX_PARAM), ("create x id int64 key,", SCHEMA),
            ("create x id int64 key, n int8 default=x, v vector(2)", TYPE),
            ("create x id int64 key, n int64 default=99999999999999999999, v vector(2)", RANGE),
            ("create x id int64 key, a array(int8, 2) default=1, v vector(2)", SCHEMA),
            ("create x " + ", ".join(f"f{i} int8" for i in range(129)), LIMIT),
            ("drop", ARGUMENT), ("drop no", NOT_FOUND), ("schema", ARGUMENT), ("schema no", NOT_FOUND),
            ("import", ARGUMENT), ("import no x", NOT_FOUND), ("import d a b", ARGUMENT),
            ("insert d", ARGUMENT), ("insert no {}", NOT_FOUND), ('insert d {"id": 1, "v": [1, 2]}', EXISTS),
            ("insert d x", TYPE), ("insert d {]", TYPE), ('upsert d {"id": 1, "s": "123456", "v": [1, 2]}', TOO_LONG),
            ("upsert d", ARGUMENT), ("update d", ARGUMENT), ("update no {}", NOT_FOUND), ("update d []", TYPE),
            ('update d {"id": 77, "s": "x"}', NOT_FOUND), ('update d {"s": "x"}', MISSING_FIELD),
            ('update d {"id": 1, "v": [1]}', DIMENSION), ("get d", ARGUMENT), ("get d x", TYPE), ("get d 99999999999999999999", RANGE),
            ("get d 7", NOT_FOUND), ("get d 1 fields=x", UNKNOWN_FIELD), ("get d 1 field=x", OPTION),
            ("get k none", NOT_FOUND), ("scan no", NOT_FOUND), ("scan d where=(s ==)", FILTER),
            ("scan d limit=-1", TYPE), ("scan d limit=x", TYPE), ("scan d after=x", TYPE), ("scan d fields=x", UNKNOWN_FIELD),
            ("scan d limit=1 limit=2", OPTION), ("scan d :x=1", FILTER_PARAM), ("count d where=(x == 1)", UNKNOWN_FIELD),
            ("count d where=(id == {x})", FILTER_PARAM), ("count d where=(id == {x}) :x={}", FILTER_PARAM),
            ("count d where=(id == {x}) :x=[1,true]", FILTER_PARAM), ("count d where=(id == {x}) :x=1 :y=2", FILTER_PARAM),
            ("count d where=(id == 'x')", TYPE), ("count", ARGUMENT), ("count no", NOT_FOUND),
            ("delete d", ARGUMENT), ("delete d 1 where=(id == 1)", ARGUMENT), ("delete d where=''", FILTER),
            ("delete d x", TYPE), ("delete no 1", NOT_FOUND),
            ("search d", ARGUMENT), ("search no row=1", NOT_FOUND), ("search d row=1 vector=[1,2]", ARGUMENT),
            ("search d row=x", TYPE), ("search d row=9", NOT_FOUND), ("search d row=1 k=0", K),
            ("search d row=1 k=99999", K), ("search d row=1 k=x", TYPE), ("search d vector=[1]", DIMENSION),
            ("search d vector=[1,", TYPE), ("search d vector={}", TYPE), ("search d vector=[1,x]", TYPE),
            ("search d row=1 plan=best", OPTION), ("search d row=1 recall=2", INDEX_PARAM), ("search d row=1 recall=x", TYPE),
            ("search d row=1 ef=-1", TYPE), ("search d row=1 radius=inf", TYPE), ("search d file=no.npy", NOT_FOUND),
            ("search d row=1 nprobe=99999999999", RANGE), ("search d row=1 where=((id)", FILTER),
            ("explain d", ARGUMENT), ("explain d row=1 radius=1", OPTION), ("explain no row=1", NOT_FOUND),
            ("groups d", ARGUMENT), ("groups no row=1 by=id", NOT_FOUND), ("hybrid", ARGUMENT), ("hybrid no (row=1)", NOT_FOUND),
            ("field", ARGUMENT), ("field add", ARGUMENT), ("field add no x int8 nullable", NOT_FOUND),
            ("field drop d", ARGUMENT), ("field drop no x", NOT_FOUND), ("field rename d s", ARGUMENT),
            ("field rename no x y", NOT_FOUND), ("field rename d s 1x", NAME), ("field rename d s id", EXISTS),
            ("expire set d", ARGUMENT), ("expire set no s", NOT_FOUND), ("expire drop", ARGUMENT), ("expire drop no", NOT_FOUND),
            ("expire show no", NOT_FOUND), ("optimizer set d", ARGUMENT), ("optimizer set no v", NOT_FOUND),
            ("optimizer set d s", TYPE), ("optimizer set d v unit=maybe", TYPE), ("optimizer set d v kind=sgd", OPTION),
            ("optimizer set d v window=9999999999", RANGE), ("optimizer drop no v", NOT_FOUND),
            ("optimizer show no v", NOT_FOUND), ("push d v", ARGUMENT), ("push no v 1 vector=[1,2]", NOT_FOUND),
            ("push d v 1 vector={}", TYPE), ("pull d", ARGUMENT), ("pull no v 1", NOT_FOUND), ("pull d s 1", TYPE),
            ("index create d", ARGUMENT), ("index create d id", TYPE), ("index create d v NO", OPTION),
            ("index create d v HNSW(m=1)", INDEX_PARAM), ("index create d x", UNKNOWN_FIELD),
            ("index create no v", NOT_FOUND), ("index drop d", ARGUMENT), ("index drop d x", UNKNOWN_FIELD),
            ("index drop no v", NOT_FOUND), ("index list", ARGUMENT), ("index list d x", UNKNOWN_FIELD),
            ("index list no", NOT_FOUND), ("index what", ARGUMENT), ("info x", ARGUMENT), ("stats", ARGUMENT),
            ("stats no", NOT_FOUND), ("check x", ARGUMENT), ("rekey a b", ARGUMENT), ("rekey", ARGUMENT),
            ("rekey new=maybe", TYPE), ("backup", ARGUMENT), (f"backup {taken}", EXISTS),
            ("restore x", ARGUMENT), (f"restore {self.path('no')} {self.path('to')}", NOT_FOUND),
            ("compact", ARGUMENT), ("compact no", NOT_FOUND), ("flush", ARGUMENT), ("flush no", NOT_FOUND),
            ("wait", ARGUMENT), ("wait no", NOT_FOUND), ("warm", ARGUMENT), ("warm no", NOT_FOUND),
            ("set x", ARGUMENT), ("set x y", NOT_FOUND), ("set json maybe", TYPE), ("set width 99999999", RANGE),
            ("set timing 2", TYPE), ("set a b c", ARGUMENT), ("help nothing", NOT_FOUND), ("quit now", ARGUMENT),
        ]
        # An open bracket goes on in the next line, and so stands alone.
        joined = [c for c, _ in cases if c.count("(") == c.count(")") and c.count("[") == c.count("]")]
        self.same([dict(cases)[c] for c in joined], joined)
        for command, code in cases:
            if command not in joined:
                self.same([code], [command])
        commands = {c.split()[0] for c, _ in cases}
        names = {line.split()[0] for line in run("-c", "help")[1].splitlines() if line.startswith("  ")}
        self.assertEqual(names - commands, set())

    def test_one_file(self):
        self.ask("create d id int64 key, v vector(1)", "insert d " + " ".join(
            f'{{"id": {i}, "v": [{i}]}}' for i in range(1, 9)), "compact d")
        name, = (n for n in os.listdir(self.db) if n.endswith(".rows"))
        alone = self.path("alone")
        os.rename(os.path.join(self.db, name), alone)
        status, out, errors = run("--json", alone, text="count d where=(id > 3)\ncheck\ndelete d 1")
        self.assertEqual(values(out)[0], {"count": 5})
        self.assertEqual((status, values(errors)[0]["code"]), (READ_ONLY, READ_ONLY))
        with open(alone, "r+b") as file:
            file.truncate(os.path.getsize(alone) - 1)
        self.assertEqual(run("--json", alone, "-c", "list")[0], CORRUPT)

    def test_read_only(self):
        self.ask("create d id int64 key, v vector(2) l2", 'insert d {"id": 1, "v": [1, 2]}')
        status, out, errors = run("--json", "-r", self.db, "-c", "count d; drop d")
        self.assertEqual((status, values(out)), (READ_ONLY, [{"count": 1}]))


class Scripts(Case):
    def test_input(self):
        status, out, errors = run("--json", self.db, text="""
            # a comment; drop d
            create d id int64 key,   # the key
            """ + "v vector(2) l2\n")
        self.assertEqual(values(errors)[0]["code"], SCHEMA)
        script = """create d id int64 key, s varchar(40), v vector(2) l2 # made
            insert d {"id": 1,
                      "s": "a ; b # c",
                      "v": [1, 2]} ; insert d {"id": 2, "s": "(", "v": [1,
            2]}
            scan d where=(s like "a ;%"); count d"""
        self.assertEqual(self.ask(script), [{"id": 1, "s": "a ; b # c"}, {"count": 2}])
        self.assertEqual(self.ask("count d; quit; nonsense", "nonsense"), [{"count": 2}])

    def test_errors(self):
        status, out, errors = run(self.db, "-c", "list; drop no; info")
        self.assertEqual((status, out), (NOT_FOUND, ""))
        self.assertEqual(errors.count("error 6 (VECDB_ERR_NOT_FOUND): "), 1)
        self.ask("create d id int64 key, v vector(2)")
        status, out, errors = run("-k", "--json", self.db, "-c", "drop no; count no", "-c", "count d; nothing")
        self.assertEqual((status, values(out)), (NOT_FOUND, [{"count": 0}]))
        self.assertEqual([e["code"] for e in values(errors)], [NOT_FOUND, NOT_FOUND, ARGUMENT])
        error = values(run("--json", self.db, "-c", "count d where=(id == )")[2])[0]
        self.assertEqual((error["error"], error["code"], error["position"]), ("VECDB_ERR_FILTER", FILTER, 7))
        self.assertEqual(run("--nothing")[0], OPTION)
        self.assertEqual(run("a", "b")[0], ARGUMENT)
        self.assertEqual(run("-c", "list")[0], NOT_FOUND)
        self.assertEqual(run(self.path("file", "x"), "-c", "list")[0] in (NOT_A_DATABASE, 61), True)
        self.path("other/x") and os.mkdir(self.path("other"))
        self.path("other/x", "y")
        self.assertEqual(run(self.path("other"), "-c", "create d id int64 key, v vector(2)")[0], NOT_A_DATABASE)

    def test_encryption(self):
        one, two = "one " + "0f" * 32, "two " + "A5" * 32
        keys = self.path("keys", f"# of a test\n{one}\n\n{two}\n")
        make = 'create d id int64 key, s varchar(40), v vector(2); insert d {"id": 1, "s": "marmot", "v": [1, 2]}'
        status, out, errors = run("--key-file", keys, "--json", self.db, "-c", make, "-c", "compact d; rekey two new=yes; count d")
        self.assertEqual((status, values(out)), (0, [{"count": 1}]), errors)
        for name in os.listdir(self.db):
            with open(os.path.join(self.db, name), "rb") as file:
                self.assertNotIn(b"marmot", file.read())
        self.assertEqual(run(self.db, "-c", "count d")[0], KEY)
        self.assertEqual(run("--key-file", self.path("first", one), self.db, "-c", "count d")[0], KEY)
        self.assertEqual(run("--key-file", self.path("second", two), self.db, "-c", "check; rekey three")[0], KEY)
        self.assertEqual(run("--key-file", self.path("second"), self.db, "-c", "check; rekey; compact d")[0], 0)
        for text in ("", "one", "one 12", "one " + "g" * 64, one + "0", one + " x", "x" * 256 + one[3:]):
            self.assertEqual(run("--key-file", self.path("bad", text), self.db, "-c", "list")[0], KEY, text)
        self.assertEqual(run("--key-file", self.path("none"), self.db, "-c", "list")[0], NOT_FOUND)
        self.assertEqual(run("--key-file", keys, self.path("plain"), "-c", "rekey")[0], NOT_FOUND)
        self.assertEqual(run(self.path("plain"), "-c", "create d id int64 key, v vector(2); rekey")[0], ARGUMENT)

    def test_help(self):
        status, out, _ = run("--help")
        names = [line.split("  ")[1] for line in out.split("Commands:\n")[1].splitlines() if line.startswith("  ")]
        self.assertEqual((status, len(names)), (0, 43))
        for name in names:
            status, text, _ = run("-c", f"help {name}") if name in ("search", "index list") else (0, f"usage:  {name}", "")
            self.assertTrue(status == 0 and f"usage:  {name}" in text, name)
        self.assertEqual(run("--version")[1].split()[0], "vecdb")
        with open(os.path.join(HERE, "../../examples/shell/vecdb.1")) as page:
            manual = page.read()
        for name in names:
            self.assertIn(f"\n.B {name}\n", manual)

    def test_memory(self):
        status, out, _ = run("--json", ":memory:", "-c", 'create d id int64 key, v vector(2); '
                             'insert d {"id": 1, "v": [1, 2]}; count d')
        self.assertEqual((status, values(out)), (0, [{"count": 1}]))
        status, out, _ = run("--json", ":memory:", "-c", 'create d id int64 key, v vector(2); '
                             'insert d {"id": 1, "v": [1, 2]}; info')
        (info,) = values(out)
        parts = {name: size for name, size in info.items() if name.startswith("memory_")}
        self.assertEqual((status, sum(parts.values())), (0, info["memory"]))
        self.assertGreater(parts["memory_rows"], 0)


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, *arguments, **environment):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(SHELL, [SHELL, *arguments], {**ENVIRONMENT, **environment})
        self.said = ""
        self.wait("vecdb> ")

    def send(self, keys):
        os.write(self.fd, keys.encode())

    def wait(self, pattern):
        """Reads until the pattern comes; what was read up to there."""
        while not (found := re.search(pattern, self.said)):
            if not select.select([self.fd], [], [], PATIENCE)[0]:
                raise AssertionError(f"waited for {pattern!r}, have {self.said!r}")
            self.said += os.read(self.fd, 65536).decode(errors="replace")
        before, self.said = self.said[:found.end()], self.said[found.end():]
        return before

    def line(self, keys, pattern):
        """Types a line; what it says up to the pattern and the next prompt."""
        self.send(keys + "\n")
        text = self.wait(pattern)
        self.wait("vecdb> ")
        return text

    def end(self):
        try:
            while more := os.read(self.fd, 65536):
                self.said += more.decode(errors="replace")
        except OSError:  # the other side is closed
            pass
        os.close(self.fd)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        if "Sanitizer" in self.said or "runtime error" in self.said:
            raise AssertionError(self.said)
        return status


class Prompt(Case):
    def setUp(self):
        super().setUp()
        self.ask("create docs id int64 key, title varchar(9), embedding vector(2) l2",
                 "create other id int64 key, v vector(2)", 'insert docs {"id": 5, "title": "x", "embedding": [1, 2]}')
        self.history = self.path("history")

    def test_editing_and_history(self):
        t = Terminal(self.db, VECDB_HISTORY=self.history)
        t.line("cuont docs" + "\x01" + "\x06\x0b" + "ount docs", r"\n1\r\n")  # Ctrl-A, right, Ctrl-K
        t.line("\x1b[A" + "\x7f" * 4 + "other", r"\n0\r\n")  # up, and another name
        t.line("nonsense", r"error 1 \(VECDB_ERR_ARGUMENT\)")
        t.line('scan docs where=(title == "x"\n) fields=id', r"\.\.\.> [^>]*\n +5\r\n")
        t.send("drop docs\x03")  # given up
        t.wait(r"\^C")
        t.line("count docs", r"\n1\r\n")
        t.send("\x04")
        self.assertEqual(t.end(), 0)
        self.assertEqual(stat.S_IMODE(os.stat(self.history).st_mode), 0o600)
        t = Terminal(self.db, VECDB_HISTORY=self.history)
        t.line("\x1b[A", r"\n1\r\n")  # the last line of before
        t.line("\x1b[A\x1b[A", r"\n +5\r\n")
        t.send("quit\n")
        self.assertEqual(t.end(), 0)

    def test_follow(self):
        t = Terminal("-f", self.db)
        t.line("count docs", r"\n1\r\n")
        self.ask('insert docs {"id": 6, "title": "y", "embedding": [1, 2]}')
        t.line("count docs", r"\n2\r\n")
        self.ask("delete docs 5", "compact docs")
        t.line("get docs 6", r"title +y")
        t.line("count docs", r"\n1\r\n")
        t.line("drop docs", r"error 22 \(VECDB_ERR_READ_ONLY\)")
        t.send("\x04")
        self.assertEqual(t.end(), 0)

    def complete(self, terminal, keys, word):
        """Types keys and Tab, waits for what the line becomes, and gives the line up."""
        terminal.send(keys + "\t")
        text = terminal.wait(word)
        terminal.send("\x03")
        terminal.wait(r"\^C")
        terminal.wait("vecdb> ")
        return text

    def test_completion(self):
        os.mkdir(self.path("folder"))
        self.path("folder/vectors.npy", "x")
        t = Terminal(self.db)
        self.complete(t, "sch", "ema ")
        self.complete(t, "index cr", "eate ")
        self.complete(t, "search do", "cs ")
        self.complete(t, "search docs fie", "ld")
        self.complete(t, "search docs field=em", "bedding ")
        self.complete(t, "scan docs fields=id,tit", "le")
        self.complete(t, "count docs where=(ti", "tle")
        self.complete(t, "import docs emb", "edding=")
        self.complete(t, "import docs embedding=" + self.path("fol"), "der/")
        self.complete(t, f"import docs {self.path('folder/v')}", r"ectors\.npy ")
        self.complete(t, "help sea", "rch ")
        self.complete(t, "set ti", "ming ")
        self.complete(t, "list; count ot", "her ")
        self.complete(t, "import docs mode=in", "sert ")
        self.complete(t, "search docs row=1 plan=ex", "act ")
        self.complete(t, "groups docs row=1 by=tit", "le ")
        self.complete(t, "hybrid docs (row=1) fusion=sc", "ores ")
        self.complete(t, "field rename docs tit", "le ")
        self.complete(t, "optimizer set docs embedding kind=adag", "rad ")
        self.complete(t, "push docs emb", "edding ")
        # Several: the second Tab lists them.
        listed = self.complete(t, "index \t", r"drop +list")
        self.assertIn("create", listed)
        t.send("\x04")
        self.assertEqual(t.end(), 0)

    def feed(self, fifo, enough):
        """Writes rows to a shell that reads them, until `enough` says so."""
        n = 0
        while not enough():
            line = json.dumps({"id": n, "title": "", "embedding": [n, 0]}) + "\n"
            try:
                os.write(fifo, line.encode())
                n += 1
            except BlockingIOError:
                select.select([], [fifo], [], PATIENCE)

    def test_interrupt(self):
        path = self.path("fifo.jsonl")
        os.mkfifo(path)
        fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        t = Terminal(self.db)
        t.send(f"import docs {path} batch=1\n")

        def shown():  # the bar is drawn once the call has lasted a while
            if select.select([t.fd], [], [], 0)[0]:
                t.said += os.read(t.fd, 65536).decode(errors="replace")
            return "importing" in t.said and "rows, " in t.said

        self.feed(fifo, shown)
        t.send("\x03")
        t.wait(r"error 42 \(VECDB_ERR_CANCELLED\)")
        t.wait("vecdb> ")
        t.line("count docs where=(id == 0)", r"\n1\r\n")
        # Somebody else is kept out, but may read.
        self.assertEqual(run(self.db, "-c", "list")[0], BUSY)
        self.assertEqual(run("-r", self.db, "-c", "list")[0], 0)
        t.send("\x04")
        self.assertEqual(t.end(), 0)
        # A script ends.
        done = subprocess.Popen([SHELL, "--json", self.db, "-c", f"import other {path} v=x.npy; list"],
                                env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual((done.communicate(timeout=PATIENCE)[0], done.returncode), ("", NOT_FOUND))
        script = subprocess.Popen([SHELL, "--json", self.db, "-c", f"import docs {path} batch=1; list"],
                                  env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        taken = lambda: run("-r", "--json", self.db, "-c", "count docs where=(title == 'mark')")[1] == '{"count": 1}\n'
        os.set_blocking(fifo, True)
        os.write(fifo, b'{"id": -1, "title": "mark", "embedding": [0, 0]}\n')
        while not taken():  # then it waits for more
            pass
        script.send_signal(signal.SIGINT)
        out, errors = script.communicate(timeout=PATIENCE)
        self.assertEqual((script.returncode, values(errors)[0]["code"]), (CANCELLED, CANCELLED), errors)
        os.close(fifo)


if __name__ == "__main__":
    SHELL = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
