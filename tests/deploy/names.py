"""What the files of examples/deploy name must be there: settings, routes, packages, files.

Reads the tables in the server's sources, and needs nothing but Python; deploy_test.py asks the
built server as well, and the tools of those who will read the files.
"""

import configparser
import os
import re
from pathlib import Path

DEPLOY = Path("examples/deploy")
SETTING = re.compile(r'CONFIG_(?:TEXT|NUMBER|LIVE)\("(\w+)", "(\w+)"')
# Values of the chart that look like settings.
OF_CHART = {("embedding", "secret"), ("embedding", "key"),
            *(("cluster", key) for key in ("enabled", "image", "etcd"))}
ROUTE = re.compile(r'^    \{"(GET|POST|PUT|DELETE|PATCH)", "([^"]+)"', re.M)


def settings_of_source():
    """The settings as config.c has them: {(section, key)}."""
    found = set(SETTING.findall(Path("cluster/server/config.c").read_text()))
    assert len(found) > 40, "config.c has another form"
    return found


def files():
    """The files that this is about: those of Prometheus and Grafana have a test of their own."""
    others = {"prometheus", "grafana", "secrets"}
    return [f for f in sorted(DEPLOY.rglob("*"))
            if f.is_file() and f.relative_to(DEPLOY).parts[0] not in others]


def check_settings(there):
    """Variables of the environment, in all files, and the settings file of the image."""
    names = {f"VECDBD_{section}_{key}".upper() for section, key in there}
    n = 0
    for file in files():
        for name in re.findall(r"\bVECDBD_[A-Z_]+[A-Z]\b", file.read_text()):
            n += 1
            assert name in names or name == "VECDBD_SECTION_KEY", f"{file}: there is no {name}"
    conf = configparser.ConfigParser()
    conf.read(DEPLOY / "vecdbd.conf")
    named = {(s, k) for s in conf.sections() for k in conf[s]}
    form = rf"(?<!Values\.)\b({'|'.join(sorted({s for s, _ in there}))})\.([a-z]+_?[a-z]*)\b"
    for file in files():
        if file.suffix in (".yml", ".yaml", ".md", ".txt"):
            named |= set(re.findall(form, file.read_text())) - OF_CHART
    assert conf.sections() and named <= there, f"unknown settings: {named - there}"
    print(f"{n} variables and {len(named)} settings are the server's")


def check_routes():
    """Probes, health checks and scrapes ask for routes that the server has, without permission."""
    source = Path("cluster/server/routes.c").read_text()
    routes = {(method, path) for method, path in ROUTE.findall(source)}
    public = set(re.findall(r'\{"GET", "(\S+)", SRV_PUBLIC', source))
    n = 0
    for file in files():
        text = file.read_text()
        if file.name == "etcd.yaml":
            continue
        probes = re.findall(r"httpGet: \{path: (\S+),", text)
        probes += re.findall(r"'GET (/\S+) HTTP", text)
        for path in probes:
            assert path in public, f"{file}: {path} is no public route"
        scrapes = re.findall(r"(?:metrics_path|^ +path): (/\S+)$", text, re.M)
        asked = [("GET", path) for path in probes + scrapes]
        asked += re.findall(r"\b(GET|POST|PUT) (/[a-z][\w/]*)", text)
        for route in asked:
            assert route in routes, f"{file}: there is no {route}"
        n += len(asked)
    assert n >= 6, "the probes have another form"
    print(f"{n} routes are the server's")


def dockerfile():
    """The stages of the Dockerfile: name -> its instructions as (word, text), lines joined."""
    stages, name = {}, None
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.M)
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        word, rest = line.split(None, 1)
        if word == "FROM":
            name = rest.split()[-1]
            stages[name] = []
        stages[name].append((word, rest))
    return stages


def check_dockerfile():
    stages = dockerfile()
    for stage in ("vecdbd", "node", "embeddings", "etcd"):
        words = dict(stages[stage])
        assert words["USER"] == "10001:10001", f"{stage} runs as root"
    words = dict(stages["vecdbd"])
    assert words["STOPSIGNAL"] == "SIGTERM" and "HEALTHCHECK" in words and "VOLUME" in words
    for rows in stages.values():
        for word, rest in rows:
            if word == "COPY" and not rest.startswith("--from"):
                for source in [s for s in rest.split() if not s.startswith("--")][:-1]:
                    assert Path(source).exists(), f"COPY: there is no {source}"
    version = re.search(r'VECDB_VERSION_STRING "(\d+\.\d+)', Path("vecdb.h").read_text())[1]
    for file, form in (("Dockerfile", f'image.version="{version}"'),
                       ("docker-compose.yml", f"image: vecdb:{version}\n"),
                       ("helm/vecdb/Chart.yaml", f'appVersion: "{version}"')):
        assert form in (DEPLOY / file).read_text(), f"{file} is not of version {version}"
    packages = re.search(r"^EMBED_PACKAGES := (.*)", Path("Makefile").read_text(), re.M)[1]
    runs = " ".join(rest for word, rest in stages["embeddings"] if word == "RUN")
    assert f"--no-cache-dir {packages} " in runs, "the embedding service has other packages"
    print(f"the Dockerfile has {len(stages)} stages of version {version}, none for root")


def check_mounts():
    """The files that docker-compose.yml mounts are there; its ports are on loopback."""
    text = (DEPLOY / "docker-compose.yml").read_text()
    mounts = re.findall(r'"\./(\S+?):/', text)
    for mount in mounts:
        assert (DEPLOY / mount).exists(), f"docker-compose.yml: there is no {mount}"
    ports = re.findall(r'ports: \["(.*)"\]', text)
    assert len(ports) == 3 and len(mounts) == 5
    assert all(p.startswith("${VECDB_BIND:-127.0.0.1}:") for p in ports), "a port beyond loopback"
    made = set(re.findall(r'"\$made/([\w.-]+)" "\$folder"', (DEPLOY / "secrets.sh").read_text()))
    asked = set(re.findall(r"file: \./secrets/([\w.-]+)", text))
    assert asked and asked <= made, f"secrets.sh does not make {asked - made}"
    print(f"{len(mounts)} mounts and {len(asked)} secrets are there; "
          f"{len(ports)} ports are on loopback")


def main():
    check_settings(settings_of_source())
    check_routes()
    check_dockerfile()
    check_mounts()


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    main()
