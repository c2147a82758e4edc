#!/bin/sh
# What the containers of a cluster run. In FOLDER are the cluster's id and certificates: `init` fills it once,
# and its containers share it. DATA, LISTEN, PORT and CONFIG are for other places.
#   nodes.sh init ETCD ID@ADDRESS...     makes the cluster, and is done; again it does nothing
#   nodes.sh node ETCD ID                runs the node of that number, on port 7001
#   nodes.sh pod ETCD POD NAME           the same for a pod of a StatefulSet, whose number and one more is the
#                                        node's, with a fixed address that NAME and that number stand for
#   nodes.sh front ID@ADDRESS,...        runs vecdbd before these nodes, which may have names here
set -eu
folder=${FOLDER:-/run/cluster}
front=2147483649 # the number of a client

# numeric HOST:PORT: with a number for a name, as nodes know each other by number alone.
numeric() {
  echo "$(getent ahostsv4 "${1%:*}" | sed -n '1s/ .*//p'):${1##*:}"
}

# add ETCD ID ADDRESS: the node belongs to the cluster, if it did not before.
add() {
  vecdb-cluster add-node "$2" --address "$3" --zone "zone$2" --etcd "$1" --cluster "$(cat "$folder/id")" ||
    vecdb-cluster status --etcd "$1" --cluster "$(cat "$folder/id")" | grep -qF " $3 "
}

# node ETCD ID
node() {
  exec vecdb-node --id "$2" --cluster "$(cat "$folder/id")" --data "${DATA:-/var/lib/vecdb/node}" \
    --listen "${LISTEN:-0.0.0.0:${PORT:-7001}}" --etcd "$1" --ca "$folder/ca.pem" \
    --cert "$folder/$2.pem" --key "$folder/$2.key"
}

case ${1:-} in
  init)
    etcd=$2
    shift 2
    [ ! -e "$folder/ready" ] || exit 0
    umask 077
    # The etcd may be just starting; a cluster of an init that was cut off is gone on with.
    until [ -s "$folder/id" ] || vecdb-cluster init --etcd "$etcd" >"$folder/new"; do sleep 1; done
    [ -s "$folder/id" ] || mv "$folder/new" "$folder/id"
    for each in "$@"; do
      vecdb-cluster certify "$folder" "$(cat "$folder/id")" "${each%%@*}"
      add "$etcd" "${each%%@*}" "${each#*@}"
    done
    vecdb-cluster certify "$folder" "$(cat "$folder/id")" $front
    touch "$folder/ready"
    ;;
  node)
    node "$2" "$3"
    ;;
  pod)
    number=$((${3##*-} + 1))
    # Whichever pod is the first makes the cluster; the etcd may be just starting.
    until vecdb-cluster init --etcd "$2" --cluster "$(cat "$folder/id")" >/dev/null; do sleep 1; done
    add "$2" $number "$(numeric "$4$number:${PORT:-7001}")"
    node "$2" $number
    ;;
  front)
    nodes=
    for each in $(echo "$2" | tr , ' '); do
      nodes=$nodes${nodes:+,}${each%%@*}@$(numeric "${each#*@}")
    done
    exec vecdbd --config "${CONFIG:-/etc/vecdb/vecdbd.conf}" --cluster.nodes "$nodes" \
      --cluster.id "$(cat "$folder/id")" --cluster.ca "$folder/ca.pem" \
      --cluster.certificate "$folder/$front.pem" --cluster.key "$folder/$front.key" \
      --cluster.client $front
    ;;
  *)
    echo 'nodes.sh: init, node, pod or front' >&2
    exit 2
    ;;
esac
