"""The files of examples/deploy by the tools of those who will read them, and beside a real server.

deploy_test.py VECDBD VENV      (make deploy-test)

VENV has hadolint, Docker Compose, yamllint, Helm's own library and Kubernetes' schemas from PyPI.
No container is run: the build is done in a clean clone, and the server runs as it would in the
image, as another user, with a root file system that cannot be written.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import names
from names import DEPLOY

USER = 10001


def run(*command, fails=False, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False,
                          **options)
    assert (done.returncode != 0) == fails, f"{command}: {done.stdout}{done.stderr}"
    return done


# ---- The server ---------------------------------------------------------------------------------


def printed_settings(program, *options):
    """What the server has for settings: {(section, key): value}."""
    found, section = {}, None
    for line in run(program, *options, "--print-config").stdout.splitlines():
        if line.startswith("["):
            section = line[1:-1]
        elif line and not line.startswith(";"):
            key, value = line.split(" =", 1)
            found[section, key] = value.strip()
    return found


class Server:
    """vecdbd as the image starts it: user, settings file, and nothing to write but its volume."""

    def __init__(self, program, folder, keys):
        volume = Path(folder, "volume")
        shutil.rmtree(volume, ignore_errors=True)
        volume.mkdir()
        # In a mount namespace of its own, so that nothing of it stays behind.
        inside = (
            'mount -t tmpfs -o uid=$0,mode=700 none "$1" && mount -o remount,bind,ro / && '
            '! touch "$1/../written" 2>/dev/null && shift && exec setpriv --reuid $0 --regid $0 '
            '--clear-groups --bounding-set=-all --no-new-privs "$@"')
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", inside, str(USER), volume, program, "--config",
             DEPLOY / "vecdbd.conf", "--listen", "0.0.0.0:0", "--data", volume / "db",
             "--audit.path", volume / "audit", "--security.keys", keys],
            stderr=subprocess.PIPE, text=True)
        self.said, self.port = [], None
        for line in self.process.stderr:
            self.said.append(line)
            port = re.search(r"serving .* on port (\d+)", line)
            if port:
                self.port = port[1]
                break

    def status(self, method, path, key=None, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=json.dumps(body).encode() if body else None)
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()  # where a check has failed; else it has ended
        self.process.wait()
        self.process.stderr.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.stderr.read()
        assert self.process.wait(60) == 0


def refused(program, folder, keys, why):
    with Server(program, folder, keys) as server:
        assert not server.port and server.process.wait(60) == 1, "it serves without keys"
        assert why in "".join(server.said), server.said


def check_server(program, folder):
    secrets = Path(folder, "secrets")
    make = ("sh", DEPLOY / "secrets.sh", program)
    run(*make, env={**os.environ, "SECRETS": str(secrets)})
    run(*make, env={**os.environ, "SECRETS": str(secrets)}, fails=True)  # it overwrites nothing
    keys = secrets / "vecdb.keys"
    admin, monitor = ((secrets / f"{name}.key").read_text() for name in ("admin", "prometheus"))
    assert admin not in keys.read_text() and keys.stat().st_uid == USER
    refused(program, folder, "", "security")
    with Server(program, folder, keys) as server:
        assert server.port, server.said
        check_answers(server, admin, monitor)
        run("bash", DEPLOY / "ready.sh", server.port)
        server.stop()
        run("bash", DEPLOY / "ready.sh", server.port, fails=True)
    print("vecdbd serves as user 10001, all but its volume read-only, with the keys of secrets.sh")


def check_answers(server, admin, monitor):
    fields = [{"name": "id", "type": "INT64", "primary_key": True},
              {"name": "v", "type": "FLOAT_VECTOR", "dim": 2}]
    for method, path, key, status, body in (
            ("GET", "/readyz", None, 200, None), ("GET", "/metrics", None, 401, None),
            ("GET", "/metrics", monitor, 200, None), ("GET", "/v1/collections", None, 401, None),
            ("GET", "/v1/collections", monitor, 403, None),
            ("POST", "/v1/collections", admin, 201, {"name": "docs", "fields": fields}),
            ("PUT", "/v1/collections/docs/rows", admin, 200, {"rows": [{"id": 1, "v": [1, 0]}]})):
        got = server.status(method, path, key, body)
        assert got == status, f"{method} {path}: {got}"


def check_secret_copy(program, folder, command):
    """A Secret's file is readable by the pod's group, which the server refuses; the copy it takes."""
    secret, copy = Path(folder, "secret"), Path(folder, "copy")
    secret.mkdir()
    copy.mkdir()
    shutil.copy(Path(folder, "secrets/vecdb.keys"), secret / "keys")
    for path, mode in ((secret, 0o750), (copy, 0o770), (secret / "keys", 0o440)):
        os.chown(path, 0, USER)
        path.chmod(mode)
    refused(program, folder, secret / "keys", "must have mode 0600")
    for word, path in (("/secret/", secret), ("/run/vecdb/", copy)):
        assert word in command
        command = command.replace(word, f"{path}/")
    run("setpriv", "--reuid", USER, "--regid", USER, "--clear-groups", "sh", "-c", command)
    with Server(program, folder, copy / "keys") as server:
        assert server.port, server.said
        server.stop()
    print("the chart's copy of the keys is taken, the mounted Secret is not")


# ---- The image ----------------------------------------------------------------------------------


def needed_packages(program):
    """Packages that a program's libraries come from: those it names, and all."""
    wanted = set(re.findall(r"NEEDED +(\S+)", run("objdump", "-p", program).stdout))
    named, every = set(), set()
    for name, path in re.findall(r"^\s+(\S+) => (/\S+)", run("ldd", program).stdout, re.M):
        owner = None
        for form in (os.path.realpath(path), os.path.realpath(path).removeprefix("/usr")):
            done = subprocess.run(["dpkg", "-S", form], capture_output=True, text=True, check=False)
            owner = owner or (done.stdout.split(":")[0] if done.returncode == 0 else None)
        assert owner, f"no package has {path}"
        every.add(owner)
        if name in wanted:
            named.add(owner)
    return named, every


def check_packages(program, stage):
    runs = " ".join(rest for word, rest in names.dockerfile()[stage] if word == "RUN")
    listed = set(re.search(r"--no-install-recommends (.*?) &&", runs)[1].split())
    named, every = needed_packages(program)
    base = {"libc6", "libgcc-s1"}  # every Debian has them
    assert named - base <= listed, f"the image lacks {named - base - listed}"
    depends = run("apt-cache", "depends", "--recurse", "--no-recommends", "--no-suggests",
                  "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances",
                  *sorted(listed)).stdout
    there = set(re.findall(r"^(\S+)$", depends, re.M)) | base
    assert every <= there, f"the image lacks {every - there}"
    print(f"{len(listed)} packages bring the {len(every)} that libraries of {stage} come from")


def check_hardening(program):
    """Addresses that nobody knows, tables that nobody writes, checks of stack and buffers."""
    said = run("readelf", "--wide", "--dynamic", "--segments", "--symbols", program).stdout
    for mark in (r"\(FLAGS_1\).* NOW PIE", "GNU_RELRO", "GNU_STACK .* RW ", "__stack_chk_fail@",
                 "__snprintf_chk@"):
        assert re.search(mark, said), f"{program}: no {mark}"


def check_build(folder):
    """The build step of the Dockerfile, in a clone without what its context leaves out."""
    clone = Path(folder, "clone")
    run("git", "clone", "-q", "--no-hardlinks", ".", clone)
    for name in (DEPLOY / "Dockerfile.dockerignore").read_text().split():
        shutil.rmtree(clone / name, ignore_errors=True)
    steps = [rest for word, rest in names.dockerfile()["build"] if word == "RUN" and
             rest.startswith("make ")]
    assert len(steps) == 1, "the build step has another form"
    run("sh", "-ec", steps[0], cwd=clone)
    print("built in a clean clone:", run(clone / "build/vecdbd", "--version").stdout.strip())
    check_packages(clone / "build/vecdbd", "vecdbd")
    check_packages(clone / "build/vecdb-node", "node")
    for program in ("vecdbd", "vecdb-node", "vecdb-cluster"):
        check_hardening(clone / "build" / program)
    print("hardened: vecdbd, vecdb-node, vecdb-cluster")
    check_cluster(clone / "build", folder)


class Processes:
    """Programs that are ended with the block."""

    def __init__(self, environment):
        self.environment, self.all = environment, []

    def start(self, *command, **more):
        log = subprocess.DEVNULL
        self.all.append(subprocess.Popen([str(c) for c in command], stdout=log, stderr=log,
                                         env=self.environment | more))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.all:
            process.terminate()
        for process in self.all:
            process.wait()


def ask(url, body=None):
    """The answer, as soon as there is one: servers may be just starting."""
    request = urllib.request.Request(url, data=body and json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json"})
    for attempt in range(200):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            assert attempt < 199, f"{url} is not answered"
            time.sleep(0.1)


def check_front(port):
    """vecdbd on this port makes a collection in its cluster, and finds the rows that it writes."""
    url = f"http://127.0.0.1:{port}/v1/collections"
    ask(url, {"name": "docs", "fields": [
        {"name": "id", "type": "INT64", "primary_key": True},
        {"name": "v", "type": "FLOAT_VECTOR", "dim": 2}]})
    ask(f"{url}/docs/rows", {"rows": [{"id": i, "v": [i, 1]} for i in range(9)]})
    hits = ask(f"{url}/docs/search", {"vector": [8, 1], "top_k": 2})["hits"]
    assert [hit["id"] for hit in hits] == [8, 7], hits


def check_replicas(port):
    """What the page of metrics has of real nodes: each shard's primary has its rows, in memory."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    samples = dict(line.rsplit(" ", 1) for line in page.splitlines() if line[0] != "#")
    primaries = [name.partition("{")[2].rstrip("}") for name, value in samples.items()
                 if name.startswith("vecdb_replica_primary{") and value == "1"]
    assert len(primaries) == 3, primaries
    assert sum(int(samples[f"vecdb_replica_rows{{{p}}}"]) for p in primaries) == 9, page
    for primary in primaries:
        if samples[f"vecdb_replica_rows{{{primary}}}"] != "0":
            assert int(samples[f'vecdb_memory_bytes{{{primary},purpose="growing"}}']) > 0, page
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0 and not done.stdout + done.stderr, done


def start_etcd(processes, folder, url, peers):
    processes.start("etcd", "--name", "e", "--data-dir", folder, "--listen-client-urls", url,
                    "--advertise-client-urls", url, "--listen-peer-urls", peers,
                    "--initial-advertise-peer-urls", peers, "--initial-cluster", f"e={peers}")


def check_cluster(programs, folder):
    """nodes.sh as containers run it, but on loopback: TLS, three nodes, vecdbd before them."""
    if not shutil.which("etcd"):
        print("skipped: etcd is not there for a cluster")
        return
    script = Path(DEPLOY, "nodes.sh").resolve()
    for way, port in ((check_compose_way, 26420), (check_pods_way, 26440)):
        place = Path(folder, way.__name__)
        place.mkdir()
        (place / "front.conf").write_text(
            f"[server]\nlisten = 127.0.0.1:{port}\n[database]\npath = {place}/front\n")
        environment = os.environ | {"PATH": f"{programs.resolve()}:{os.environ['PATH']}",
                                    "FOLDER": str(place / "shared"),
                                    "CONFIG": f"{place}/front.conf"}
        (place / "shared").mkdir()
        with Processes(environment) as processes:
            etcd = f"http://127.0.0.1:{port + 1}"
            start_etcd(processes, place / "etcd", etcd, f"http://127.0.0.1:{port + 2}")
            way(processes, script, etcd, place)


def check_compose_way(processes, script, etcd, place):
    nodes = [f"{i}@127.0.0.1:{26410 + i}" for i in (1, 2, 3)]
    run("sh", script, "init", etcd, *nodes, env=processes.environment)
    (place / "shared/ready").unlink()  # as if it had been cut off
    run("sh", script, "init", etcd, *nodes, env=processes.environment)
    for i in (1, 2, 3):
        processes.start("sh", script, "node", etcd, i, DATA=f"{place}/node{i}",
                        LISTEN=f"127.0.0.1:{26410 + i}")
    processes.start("sh", script, "front", ",".join(nodes))
    check_front(26420)
    check_replicas(26420)
    print("a cluster as compose makes it, with TLS: init twice, three nodes, vecdbd before them")


def check_pods_way(processes, script, etcd, place):
    """As the chart: id and certificates come in a Secret, whichever pod is the first makes the
    cluster; the services' addresses are 127.0.0.1 to 127.0.0.3. Then a pod starts again."""
    shared, cluster = place / "shared", os.urandom(16).hex()
    (shared / "id").write_text(cluster)
    run("vecdb-cluster", "certify", shared, cluster, 1, 2, 3, 2147483649,
        env=processes.environment)

    def start(number):
        processes.start("sh", script, "pod", etcd, f"demo-node-{number - 1}", "127.0.0.",
                        PORT="26430", LISTEN=f"127.0.0.{number}:26430",
                        DATA=f"{place}/node{number}")
        return processes.all[-1]

    pods = [start(number) for number in (1, 2, 3)]
    processes.start("sh", script, "front",
                    "1@localhost:26430,2@127.0.0.2:26430,3@127.0.0.3:26430")
    check_front(26440)
    check_replicas(26440)
    pods[0].kill()
    pods[0].wait()
    start(1)
    hits = ask("http://127.0.0.1:26440/v1/collections/docs/search", {"vector": [8, 1], "top_k": 1})
    assert hits["hits"][0]["id"] == 8
    print("as the chart makes it, with TLS: three pods, one of them twice, vecdbd before them")


# ---- The unit -----------------------------------------------------------------------------------


def system_calls(group):
    """The calls of a group of systemd's, and of the groups in it."""
    found = set()
    for line in run("systemd-analyze", "syscall-filter", group).stdout.splitlines()[1:]:
        name = line.strip()
        found |= system_calls(name) if name[0] == "@" else set() if name[0] == "#" else {name}
    return found


def check_unit(program, folder):
    """What a server at work asks of the system is what its unit allows."""
    unit = Path(".package/vecdbd.service").read_text()
    if not shutil.which("strace") or not shutil.which("systemd-analyze"):
        print("skipped: strace or systemd-analyze is not there for the unit")
        return
    trace, place = Path(folder, "trace"), Path(folder, "traced")
    with subprocess.Popen(["strace", "-f", "-qq", "-o", trace, program, "--listen", "127.0.0.1:0",
                           "--data", place, "--audit.path", f"{place}.audit"],
                          stderr=subprocess.PIPE, text=True) as process:
        port = re.search(r"on port (\d+)", process.stderr.readline())[1]
        check_front(port)
        for path in ("collections/docs/compact", "snapshots"):
            ask(f"http://127.0.0.1:{port}/v1/{path}", {"name": "s"} if path == "snapshots" else {})
        traced = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0]
        os.kill(int(traced), signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 0
    used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.M))
    allowed = system_calls(re.search("^SystemCallFilter=(.*)", unit, re.M)[1])
    assert len(used) > 30 and used <= allowed, used - allowed
    print(f"the unit allows the {len(used)} system calls that the server makes")


# ---- Compose and what it starts -----------------------------------------------------------------


def check_compose(tools, there):
    file = DEPLOY / "docker-compose.yml"
    run(tools / "docker-compose", "-f", file, "config", "-q")
    model = json.loads(run(tools / "docker-compose", "-f", file, "config", "--format",
                           "json").stdout)
    services = model["services"]
    stages = names.dockerfile()
    for name, service in services.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert "build" not in service or service["build"]["target"] in stages, name
        for port in service.get("ports", []):
            assert port["host_ip"] == "127.0.0.1", f"{name} is open to other machines"
        for secret in service.get("secrets", []):
            assert secret["source"] in model["secrets"], name
    assert {f"VECDBD_{a}_{b}".upper() for a, b in there} >= set(services["vecdb"]["environment"])
    nodes = {f"{services[f'node{i}']['command'][2]}@"
             f"{services[f'node{i}']['networks']['default']['ipv4_address']}:7001" for i in (1, 2, 3)}
    assert set(services["cluster"]["command"][2:]) == nodes, "init makes other nodes"
    assert set(services["vecdb"]["command"][1].split(",")) == nodes, "vecdbd asks other nodes"
    for i in (1, 2, 3):
        assert services[f"node{i}"]["command"][1] == services["cluster"]["command"][1]
    assert len(services) == 11
    print(f"docker-compose: {len(services)} services; init, nodes and vecdbd name the same nodes")
    if shutil.which("etcd"):
        usage = subprocess.run(["etcd", "--help"], capture_output=True, text=True, check=False)
        for variable in services["etcd1"]["environment"]:
            option = variable.removeprefix("ETCD_").lower().replace("_", "-")
            assert f"--{option} " in usage.stdout + usage.stderr, f"etcd has no --{option}"
    else:
        print("skipped: etcd is not there to know its variables")
    if shutil.which("promtool"):
        run("promtool", "check", "config", "--syntax-only", DEPLOY / "compose/prometheus.yml")
    else:
        print("skipped: promtool is not there to check compose/prometheus.yml")


def check_style(tools):
    run(tools / "hadolint", DEPLOY / "Dockerfile")
    plain = [f for f in names.files()
             if f.suffix in (".yml", ".yaml") and "templates" not in f.parts]
    rules = ("{extends: default, rules: {document-start: disable, line-length: {max: 120}, "
             "comments: {min-spaces-from-content: 1}, braces: {max-spaces-inside: 1}}}")
    run(tools / "yamllint", "--strict", "-d", rules, *plain)
    print(f"hadolint and yamllint: {len(plain)} files and the Dockerfile, no warning")
    if shutil.which("shellcheck"):
        run("shellcheck", *DEPLOY.glob("*.sh"))
    else:
        print("skipped: shellcheck is not installed")


def main(program, tools):
    settings = printed_settings(program)
    assert set(settings) == names.settings_of_source(), "config.c has other settings"
    names.main()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        if Path(tools, "installed").exists():
            import chart  # has what needs the packages
            check_style(tools / "bin")
            check_compose(tools / "bin", settings)
            copy = chart.check(program, folder, printed_settings)
        else:
            print("skipped: the linters cannot be had from PyPI")
            copy = None
        if os.geteuid() == 0:
            check_server(program, folder)
            if copy:
                check_secret_copy(program, folder, copy)
        else:
            print("skipped: the server as another user, which takes root")
        check_unit(program, folder)
        check_build(folder)


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    main(os.path.abspath(sys.argv[1]), Path(sys.argv[2]).absolute())
