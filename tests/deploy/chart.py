"""The Helm chart of examples/deploy, rendered by Helm itself and held against Kubernetes' schemas.

By helm-python-sdk (Helm 4 as a library) and kubernetes-validate, both from PyPI. What is rendered
as the settings file is read by the server itself.
"""

from pathlib import Path

import helm_python as helm
import kubernetes_validate
import yaml

from names import DEPLOY, dockerfile

CHART = DEPLOY / "helm/vecdb"
KUBERNETES = ("1.25", "1.31", "1.37")

FULL = {
    "replicas": 3, "imagePullSecrets": [{"name": "registry"}],
    "settings": {"server": {"workers": 8, "body_bytes": 536870912},
                 "embedding": {"url": "http://embeddings:8001"},
                 "cluster": {"nodes": "1@10.0.0.11:7001,2@10.0.0.12:7001", "client": 2147483649,
                             "ca": "/run/vecdb/ca.pem"},
                 "security": {"jwks": "/run/vecdb/jwks", "issuer": "https://issuer.example"}},
    "embedding": {"secret": "embedding"}, "persistence": {"storageClass": "fast"},
    "service": {"annotations": {"a": "b"}}, "podAnnotations": {"c": "d"},
    "podDisruptionBudget": {"maxUnavailable": "50%"},
    "networkPolicy": {"enabled": True, "from": [{"podSelector": {"matchLabels": {"app": "web"}}}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "nodeSelector": {"disk": "ssd"}, "affinity": {"nodeAffinity": {}},
    "tolerations": [{"key": "db", "operator": "Exists", "effect": "NoSchedule"}]}
CLUSTER = {"settings": {"cluster": {"shards": 6}}, "cluster": {"enabled": True, "nodes": 4},
           "embedding": {"secret": "embedding"}, "tolerations": FULL["tolerations"],
           "persistence": {"storageClass": "fast"}, "imagePullSecrets": [{"name": "registry"}]}
OPEN = {"networkPolicy": {"enabled": True}, "podDisruptionBudget": {"enabled": False}}

# The schema refuses these, each for one reason.
WRONG = (
    {"replicas": -1}, {"replicas": "3"}, {"replica": 1}, {"auth": {"secret": ""}},
    {"image": {"pullPolicy": "Sometimes"}}, {"persistence": {"size": "20GB"}},
    {"settings": {"server": {"listen": "0.0.0.0:9"}}}, {"settings": {"database": {"path": "/d"}}},
    {"settings": {"audit": {"path": "/a"}}}, {"settings": {"embedding": {"key": "secret"}}},
    {"settings": {"security": {"insecure": "yes"}}}, {"settings": {"security": {"keys": None}}},
    {"settings": {"log": {"format": "json\n[security]\ninsecure = yes"}}},
    {"settings": {"log": {"format": ["json"]}}}, {"settings": {"log\n": {"format": "json"}}},
    {"service": {"port": 0}}, {"service": {"type": "ExternalName"}},
    {"podDisruptionBudget": {"enabled": "yes"}}, {"cluster": {"nodes": 0}},
    {"cluster": {"etcd": {"members": 2}}}, {"cluster": {"enabled": True, "secret": ""}},
    {"cluster": {"enabled": True}, "replicas": 2},
    {"cluster": {"enabled": True}, "settings": {"cluster": {"id": "0"}}})


def render(chart, values):
    """The objects that the chart makes: kind and name -> object."""
    found = {}
    for file, text in chart.render(values, name="demo", namespace="search").items():
        for item in yaml.safe_load_all(text) if file.endswith(".yaml") else []:
            if item:
                found[item["kind"], item["metadata"]["name"]] = item
    return found


def check_objects(objects):
    """Each is what every version of Kubernetes knows, and refers to what is there."""
    for (kind, name), item in objects.items():
        for version in KUBERNETES if kind != "ServiceMonitor" else ():
            kubernetes_validate.validate(item, version, strict=True)
        assert item["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo", name
    sets = [o["spec"] for (kind, _), o in objects.items() if kind == "StatefulSet"]
    for pods in sets:
        check_pods(pods, objects)
    selectors = [o["spec"]["selector"] for (k, _), o in objects.items() if k == "Service"]
    selectors += [o["spec"]["selector"]["matchLabels"] for (k, _), o in objects.items()
                  if k == "PodDisruptionBudget"]
    for selector in selectors:
        wanted = {k: v for k, v in selector.items() if "pod-name" not in k}.items()
        reached = [p for p in sets if wanted <= p["template"]["metadata"]["labels"].items()]
        assert len(reached) == 1, f"{selector} selects {len(reached)} kinds of pods"


def check_pods(pods, objects):
    """One StatefulSet: labels, service, volumes, probes, resources, and nothing for root."""
    labels = pods["template"]["metadata"]["labels"].items()
    assert pods["selector"]["matchLabels"].items() <= labels
    assert objects["Service", pods["serviceName"]]["spec"]["clusterIP"] == "None"
    spec = pods["template"]["spec"]
    volumes = {v["name"] for v in spec.get("volumes", [])}
    volumes |= {c["metadata"]["name"] for c in pods["volumeClaimTemplates"]}
    for container in spec.get("initContainers", []) + spec["containers"]:
        assert {m["name"] for m in container["volumeMounts"]} <= volumes
        assert container["resources"]["limits"] and container["resources"]["requests"]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}
    for container in spec["containers"]:
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()
    for stage in ("vecdbd", "node", "etcd"):
        user = int(dict(dockerfile()[stage])["USER"].split(":")[0])
        assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == user


def check_cluster(objects, nodes):
    """Nodes, etcd and vecdbd name each other as they are called; a node's service is its pod's."""
    services = {name for kind, name in objects if kind == "Service"}
    node = objects["StatefulSet", "demo-vecdb-node"]["spec"]
    etcd = objects["StatefulSet", "demo-vecdb-etcd"]["spec"]
    assert node["replicas"] == nodes
    for i in range(nodes):
        service = objects["Service", f"demo-vecdb-at-{i + 1}"]["spec"]
        assert service["selector"]["statefulset.kubernetes.io/pod-name"] == f"demo-vecdb-node-{i}"
        assert service.get("clusterIP") != "None", "it has no address of its own"
    command, urls, pod, prefix = node["template"]["spec"]["containers"][0]["args"]
    assert (command, pod) == ("pod", "$(POD)")
    assert {f"{prefix}{i + 1}" for i in range(nodes)} <= services
    members = [f"demo-vecdb-etcd-{i}.{etcd['serviceName']}" for i in range(etcd["replicas"])]
    assert urls == ",".join(f"http://{m}:2379" for m in members)
    there = {e["name"]: e.get("value") for e in etcd["template"]["spec"]["containers"][0]["env"]}
    assert there["ETCD_INITIAL_CLUSTER"].replace(" ", "") == ",".join(
        f"{m.split('.')[0]}=http://{m}:2380" for m in members)
    spec = objects["StatefulSet", "demo-vecdb"]["spec"]["template"]["spec"]
    front = spec["containers"][0]["command"]
    assert front[:2] == ["vecdb-cluster-start", "front"]
    assert front[2] == ",".join(f"{i + 1}@{prefix}{i + 1}:7001" for i in range(nodes))
    shown = next(v for v in spec["volumes"] if v["name"] == "cluster")["secret"]["items"]
    assert len(shown) == 4 and "ca.key" not in str(shown)
    print(f"chart: {nodes} nodes, {len(members)} etcd and vecdbd name each other")


def check_monitor(objects):
    """The scrape reaches one service, that of all pods, under the job that the alerts ask for."""
    monitor = objects["ServiceMonitor", "demo-vecdb"]["spec"]
    wanted = monitor["selector"]["matchLabels"].items()
    services = [o for (kind, _), o in objects.items() if kind == "Service"]
    reached = [s for s in services if wanted <= s["metadata"]["labels"].items()]
    assert len(reached) == 1 and reached[0]["spec"]["clusterIP"] == "None"
    end = monitor["endpoints"][0]
    assert end["path"] == "/metrics" and end["relabelings"][0]["replacement"] == "vecdb"
    assert 'up{job="vecdb"}' in (DEPLOY / "prometheus/alerts.yml").read_text()


def check_settings(objects, values, program, folder, printed_settings):
    """The server reads what was rendered, and has the values that were given."""
    file = Path(folder, "rendered.conf")
    file.write_text(objects["ConfigMap", "demo-vecdb"]["data"]["vecdbd.conf"])
    read = printed_settings(program, "--config", file)
    given = {(section, key): str(value) for section, keys in values.get("settings", {}).items()
             for key, value in keys.items()}
    given |= {("server", "listen"): "0.0.0.0:8000", ("security", "keys"): "/run/vecdb/keys",
              ("database", "path"): "/var/lib/vecdb/db", ("audit", "path"): "/var/lib/vecdb/audit"}
    for setting, value in given.items():
        assert read[setting] == value, f"{setting} is {read[setting]}, not {value}"
    return len(given)


def check_wrong(chart):
    for values in WRONG:
        try:
            chart.validate_schema(values)
        except helm.HelmError:
            continue
        raise AssertionError(f"the schema takes {values}")
    print(f"values.schema.json refuses {len(WRONG)} wrong sets of values")


def check(program, folder, printed_settings):
    """Returns the command by which a pod copies its secrets."""
    with helm.Chart.load(CHART) as chart:
        for values in ({}, FULL, CLUSTER, OPEN):
            report = helm.lint(CHART, values, strict=True, kube_version="v1.31.0")
            said = [m for m in report["messages"] or [] if m["severity"] > 1]
            assert not said and not report["errors"], report
            chart.validate_schema(values)
            objects = render(chart, values)
            check_objects(objects)
            n = check_settings(objects, values, program, folder, printed_settings)
            balanced = ("Service", "demo-vecdb") in objects
            assert balanced == (values.get("replicas", 1) <= 1), "several databases behind one name"
            print(f"chart: {len(objects)} objects by Kubernetes {', '.join(KUBERNETES)}, "
                  f"{n} settings read by the server")
            if values is FULL:
                check_monitor(objects)
            if values is CLUSTER:
                check_cluster(objects, values["cluster"]["nodes"])
        check_wrong(chart)
        spec = objects["StatefulSet", "demo-vecdb"]["spec"]["template"]["spec"]
        return spec["initContainers"][0]["command"][-1]
