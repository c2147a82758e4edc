#!/bin/sh
# What the containers of a cluster run. They share the folder FOLDER, which `init` fills once: the
# cluster's id and a certificate for each node and for vecdbd. DATA, LISTEN and CONFIG are for other places.
#   nodes.sh init ETCD ID@ADDRESS...     makes the cluster, and is done; again it does nothing
#   nodes.sh node ETCD ID                runs the node of that number, on port 7001
#   nodes.sh front ID@ADDRESS,...        runs vecdbd before these nodes
set -eu
folder=${FOLDER:-/run/cluster}
front=2147483649 # the number of a client

case ${1:-} in
  init)
    etcd=$2
    shift 2
    [ ! -e "$folder/ready" ] || exit 0
    umask 077
    # The etcd may be just starting; a cluster of an init that was cut off is gone on with.
    until [ -s "$folder/id" ] || vecdb-cluster init --etcd "$etcd" >"$folder/new"; do sleep 1; done
    [ -s "$folder/id" ] || mv "$folder/new" "$folder/id"
    for node in "$@"; do
      vecdb-cluster certify "$folder" "$(cat "$folder/id")" "${node%%@*}"
      vecdb-cluster add-node "${node%%@*}" --address "${node#*@}" --zone "zone${node%%@*}" \
        --etcd "$etcd" || vecdb-cluster status --etcd "$etcd" | grep -qF " ${node#*@} "
    done
    vecdb-cluster certify "$folder" "$(cat "$folder/id")" $front
    touch "$folder/ready"
    ;;
  node)
    exec vecdb-node --id "$3" --cluster "$(cat "$folder/id")" --data "${DATA:-/var/lib/vecdb/node}" \
      --listen "${LISTEN:-0.0.0.0:7001}" --etcd "$2" --ca "$folder/ca.pem" --cert "$folder/$3.pem" \
      --key "$folder/$3.key"
    ;;
  front)
    exec vecdbd --config "${CONFIG:-/etc/vecdb/vecdbd.conf}" --cluster.nodes "$2" \
      --cluster.id "$(cat "$folder/id")" --cluster.ca "$folder/ca.pem" \
      --cluster.certificate "$folder/$front.pem" --cluster.key "$folder/$front.key" \
      --cluster.client $front
    ;;
  *)
    echo 'nodes.sh: init, node or front' >&2
    exit 2
    ;;
esac
