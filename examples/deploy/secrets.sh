#!/bin/sh
# Makes the secrets of docker-compose.yml in secrets/ beside this script, unless they are there. Run
# as root, as each file belongs to the user of the container that reads it: compose mounts files with
# their owner and mode, and vecdbd takes no file of keys that others may read.
# Usage: secrets.sh [COMMAND THAT RUNS VECDBD]; by default the image is run.
set -eu
umask 077
folder=${SECRETS:-$(dirname "$0")/secrets}
VECDB=10001 PROMETHEUS=65534 GRAFANA=472

[ "$(id -u)" -eq 0 ] || { echo 'secrets.sh: must run as root' >&2; exit 1; }
[ $# -gt 0 ] || set -- docker run --rm vecdb:0.1
[ ! -e "$folder" ] || { echo "secrets.sh: $folder is there already" >&2; exit 1; }
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# key NAME ROLE COMMAND...: adds a line for a new key to vecdb.keys, and writes the key to NAME.key.
key() {
  name=$1 role=$2
  shift 2
  text=$("$@" --make-key "$name")
  printf '%s\n' "$text" | sed -n 's/^; the key.*: //p' | tr -d '\n' >"$made/$name.key"
  printf '%s\n' "$text" | sed -e '/^;/d' -e "s/^role = .*/role = $role/" >>"$made/vecdb.keys"
  [ -s "$made/$name.key" ]
}
key admin admin "$@"
key prometheus monitor "$@"
head -c 18 /dev/urandom | base64 | tr -d '\n' >"$made/grafana-password"

install -d -m 0755 "$folder"
install -m 0400 -o $VECDB "$made/vecdb.keys" "$folder"
install -m 0400 -o $PROMETHEUS "$made/prometheus.key" "$folder"
install -m 0400 -o $GRAFANA "$made/grafana-password" "$folder"
install -m 0400 "$made/admin.key" "$folder"
echo "secrets.sh: $folder has the keys; admin.key is for you"
