"""The package's structs, enumerators, error codes and functions are those of vecdb.h; all of these
release the interpreter's lock.

Names and order are read from the header's text; sizes, places and values are asked from the C
compiler. A member, enumerator or argument that is added to the header and not to _c.py fails here.
Usage: layout.py, from the root, with CC, PYTHONPATH=examples/python and VECDB_LIBRARY set.
"""

import ctypes
import inspect
import os
import re
import shlex
import subprocess
import tempfile
from _ctypes import FUNCFLAG_PYTHONAPI
from enum import IntEnum
from pathlib import Path

import vecdb
from vecdb import _c, errors, search, values

RENAMED = {("vecdb_value", "as"): "bits"}
# Python's enumerations, and what their names begin with in C.
ENUMS = {vecdb.Type: ("vecdb_type", "VECDB_"), vecdb.Metric: ("vecdb_metric", "VECDB_"),
         vecdb.Plan: ("vecdb_plan", "VECDB_PLAN_"), vecdb.Fusion: ("vecdb_fusion", "VECDB_FUSION_"),
         vecdb.OptimizerKind: ("vecdb_optimizer_kind", "VECDB_OPTIMIZER_"),
         vecdb.Push: ("vecdb_push_kind", "VECDB_PUSH_")}
PYTHON_ONLY = {(vecdb.Metric, "DEFAULT"): 0}


def header():
    """vecdb.h without comments, and without what is in the braces of unions."""
    text = re.sub(r"/\*.*?\*/", " ", Path("vecdb.h").read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"union \{[^}]*\}", "union_", text)


def members(text, name):
    """The members of a struct in their order."""
    body = re.search(r"typedef struct %s \{([^}]*)\}" % name, text).group(1)
    found = []
    for part in filter(str.strip, body.split(";")):
        called = re.search(r"\(\*(\w+)\)", part)
        found += [called.group(1)] if called else [
            re.search(r"(\w+)\s*(?:\[\w+\])?\s*$", one).group(1) for one in part.split(",")]
    return found


def enumerators(text, name):
    body = re.search(r"typedef enum %s \{([^}]*)\}" % name, text).group(1)
    return re.findall(r"(VECDB_\w+)\s*=", body)


def structs():
    """C's name of each struct of the package: its members with their place and size, its size."""
    found = {}
    for name, kind in inspect.getmembers(_c, inspect.isclass):
        if issubclass(kind, ctypes.Structure) and kind.__module__ == "vecdb._c" and name != "Sized":
            c_name = "vecdb" + re.sub("([A-Z])", lambda m: "_" + m.group(1).lower(), name)
            places = [(f, getattr(kind, f).offset, getattr(kind, f).size) for f, _ in kind._fields_]
            found[c_name] = places, ctypes.sizeof(kind)
    for c_name, dtype in (("vecdb_hit", search.HIT), ("vecdb_sparse_pair", values.PAIR)):
        places = [(f, dtype.fields[f][1], dtype.fields[f][0].itemsize) for f in dtype.names]
        found[c_name] = places, dtype.itemsize
    return found


def compiled(expressions):
    """The values of integer expressions, by a program that the C compiler makes."""
    lines = "\n".join(f'  printf("%lld\\n", (long long)({e}));' for e in expressions)
    program = ("#include <stddef.h>\n#include <stdio.h>\n#include \"vecdb.h\"\n"
               "int main(void) {\n" + lines + "\n}\n")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "layout"
        subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-I.", "-x", "c", "-", "-o",
                        str(run)], input=program.encode(), check=True)
        return [int(line) for line in subprocess.check_output([str(run)]).split()]


def check_structs(text):
    wanted, expressions = [], []
    for c_name, (places, size) in structs().items():
        names = [RENAMED.get((c_name, m), m) for m in members(text, c_name)]
        assert names == [place[0] for place in places], f"{c_name}: in C {names}"
        wanted.append((c_name, size))
        expressions.append(f"sizeof({c_name})")
        for member, (name, offset, size_of_it) in zip(members(text, c_name), places):
            wanted += [(f"{c_name}.{name}", offset), (f"size of {c_name}.{name}", size_of_it)]
            expressions += [f"offsetof({c_name}, {member})", f"sizeof((({c_name} *)0)->{member})"]
    for (what, here), there in zip(wanted, compiled(expressions)):
        assert here == there, f"{what}: {here} in Python, {there} in C"
    return len(structs())


def check_enums(text):
    for kind, (c_name, prefix) in ENUMS.items():
        names = enumerators(text, c_name)
        there = dict(zip((n[len(prefix):] for n in names), compiled(names)))
        here = {m.name: int(m) for m in kind if PYTHON_ONLY.get((kind, m.name)) != int(m)}
        assert here == there, f"{c_name}: {here} in Python, {there} in C"
    assert {k for k in vars(vecdb).values() if inspect.isclass(k) and issubclass(k, IntEnum)
            } == set(ENUMS), "an enumeration that is not compared"
    codes = compiled(enumerators(text, "vecdb_status"))
    assert set(errors._classes) == set(codes) - {0}, "codes and classes of errors differ"


def kind_of(argument):
    """How an argument is passed, as far as the calling convention cares."""
    if "*" in argument:
        return "pointer"
    word = re.sub(r"\bconst\b", "", argument).split()[0]
    return {"uint32_t": "4", "int32_t": "4", "int": "4", "uint64_t": "8", "size_t": "8",
            "float": "float"}[word]


def kind_of_ctype(kind):
    if kind is ctypes.c_float:
        return "float"
    pointers = (ctypes.c_void_p, ctypes.c_char_p)
    if kind in pointers or issubclass(kind, (ctypes._Pointer, ctypes._CFuncPtr)):
        return "pointer"
    return str(ctypes.sizeof(kind))


def check_functions(text):
    flat = " ".join(line for line in text.split("\n") if not line.startswith("#"))
    calls = dict(_c._CALLS, **{name: arguments for name, (_, arguments) in _c._OTHERS.items()})
    for name, arguments in calls.items():
        found = re.search(r"VECDB_API [^;]*?\bvecdb_%s\((.*?)\);" % name, flat).group(1)
        inner = re.sub(r"\(\*\w*\)\([^)]*\)", "*", found)  # a function, passed by its address
        there = [] if inner.strip() == "void" else [kind_of(a) for a in inner.split(",")]
        here = [kind_of_ctype(a) for a in arguments]
        assert here == there, f"vecdb_{name}: {here} in Python, {there} in C"
        held = getattr(_c.lib, "vecdb_" + name)._flags_ & FUNCFLAG_PYTHONAPI
        assert not held, f"vecdb_{name} is called without releasing the interpreter's lock"
    return len(calls)


def main():
    text = header()
    n = check_structs(text)
    check_enums(text)
    print(f"{n} structs and {check_functions(text)} functions are those of vecdb.h")


main()
