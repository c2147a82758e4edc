#!/bin/sh
# run.sh - measures and prints tables; `make bench` and `make bench-full` call it.
#
#   bench/run.sh short|full
#
# DATA: a folder with base.npy, query.npy and gt.npy, or a folder of such folders. The metric is what a
# file `metric` in it says, else that of its name: ip for text*, hamming for *-bits, l2 for others.
# short: the machine, the default index, the exact scan and filters. full: every index type beside
# FAISS's of that name, the other peers, one thread and all, correlated filters, bits, pictures; peers come
# from PyPI into build/peers, and are left out where that fails. Raw lines go to OUT (build/results).
# ONLY: the parts of full, of: machine best types exact bits threads filters
set -eu
cd "$(dirname "$0")/.."
mode=${1:-short}
out=${OUT:-build/results}
python=${PYTHON:-python3}
threads=$(nproc)
only=${ONLY:-machine best types exact bits threads filters}
mkdir -p "$out"

sets=
for d in "$DATA" "$DATA"/*; do
  [ -f "$d/base.npy" ] && sets="$sets $d"
done
[ -n "$sets" ] || { echo "bench: no base.npy in DATA=$DATA or in a folder of it"; exit 1; }

metric_of() {
  if [ -f "$1/metric" ]; then cat "$1/metric"; return; fi
  case $(basename "$1") in text*) echo ip ;; *bits) echo hamming ;; *) echo l2 ;; esac
}

wants() {
  case " $only " in *" $1 "*) return 0 ;; *) return 1 ;; esac
}

# ann SET THREADS INDEX: one line of our own, called by the index.
ann() {
  build/bench/ann "$1/base.npy" "$1/query.npy" "$1/gt.npy" "$(metric_of "$1")" 10 "$2" --index "$3" |
    sed "s/\"peer\": \"vecdb\"/\"peer\": \"vecdb $3\"/"
}

filtered() {
  build/bench/filtered "$1/base.npy" "$1/query.npy" "$(metric_of "$1")" 10 1 50,10,1,0.1 |
    sed "s/^{/{\"data\": \"$(basename "$1")\", /"
}

limits() {
  build/bench/limits "$1/base.npy" "$1/query.npy" "$1/gt.npy" "$(metric_of "$1")" 10 |
    sed "s/^{\"index\"/{\"data\": \"$(basename "$1")\", \"index\"/"
}

short() {
  file=$out/short.jsonl
  build/bench/limits >"$file"
  for d in $sets; do
    ann "$d" 1 AUTO >>"$file"
    ann "$d" 1 FLAT >>"$file"
    [ "$(metric_of "$d")" = hamming ] || filtered "$d" >>"$file"
  done
  $python bench/table.py "$file" || cat "$file"
}

# compare FILE SET THREADS PEERS OURS: the peers, then our index types, each `TEXT` or `TEXT;TEXT`.
compare() {
  set -- "$1" "$2" "$3" "$4" "$5" "$(metric_of "$2")"
  $python bench/peers.py --data "$2" --metric "$6" --threads "$3" --only "$4" --out "$1"
  echo "$5" | tr ';' '\n' | while read -r index; do
    $python bench/peers.py --data "$2" --metric "$6" --threads "$3" --out "$1" \
      --cmd "vecdb $(echo "$index" | tr '=' ' ')=build/bench/ann --index \"$index\""
  done
}

packages() {
  [ -x build/peers/bin/python ] || python3 -m venv build/peers
  python=build/peers/bin/python
  $python -m pip install -q numpy matplotlib || { echo 'bench-full: needs numpy from PyPI'; exit 1; }
  for p in faiss-cpu hnswlib usearch zvec scalable-vs pyglass-portable rabitqlib alayalite; do
    $python -m pip install -q "$p" || echo "$p: not installed, not measured"
  done
}

best='symqg-32,hnswlib-M16,faiss-HNSW32,glass-SQ8U,usearch-f32,usearch-bf16,usearch-i8,svs-f32,alaya-sq8,zvec,zvec-int8,rabitq-ivf-5bit,faiss-IVF_PQ-x4fs-refine,faiss-IVF_RABITQfs-refine'
types='faiss-IVF_FLAT,faiss-IVF_SQ8,faiss-IVF_PQ-x4fs,faiss-IVF_PQ-x4fs-refine,faiss-IVF_PQ-x8-refine,faiss-OPQ-x4fs-refine,faiss-IVF_RABITQ,faiss-IVF_RABITQfs-refine,faiss-IVF_HNSW,zvec-DISK'
ours='HNSW;HNSW_SQ;HNSW_PQ;IVF_FLAT(nlist=1024);IVF_SQ8(nlist=1024);IVF_PQ(nlist=1024);OPQ(nlist=1024);IVF_RABITQ(nlist=1024);IVF_HNSW(nlist=1024);DISK'

full() {
  packages
  headers=$($python bench/peers_filtered.py --fetch build/peers/headers) || headers=
  for d in $sets; do
    name=$(basename "$d")
    m=$(metric_of "$d")
    if wants machine; then limits "$d" >"$out/$name-limits.jsonl"; fi
    if wants best; then compare "$out/$name.jsonl" "$d" 1 "$best" AUTO; fi
    if wants types; then compare "$out/$name-types.jsonl" "$d" 1 "$types" "$ours"; fi
    if wants exact; then compare "$out/$name-exact.jsonl" "$d" 1 faiss-FLAT FLAT; fi
    if wants threads; then
      compare "$out/$name-threads.jsonl" "$d" "$threads" symqg-32,hnswlib-M16,faiss-HNSW32 AUTO
    fi
    if wants bits; then
      $python bench/data.py "$d" "$out" bits
      compare "$out/$name-bits.jsonl" "$out/$name-bits" 1 \
        faiss-BIN_FLAT,faiss-BIN_IVF,faiss-BIN_HNSW,usearch-b1 \
        'BIN_FLAT;BIN_IVF(nlist=1024);BIN_HNSW'
    fi
    for kind in '' --correlated; do
      if [ "$m" = hamming ] || ! wants filters; then continue; fi
      # shellcheck disable=SC2086
      $python bench/peers_filtered.py --data "$d" --metric "$m" $kind --include "$headers" \
        --cmd build/bench/filtered --out "$out/$name-filters.jsonl"
    done
  done
  $python bench/table.py "$out"/*.jsonl | tee "$out/tables.md"
  for f in "$out"/*.jsonl; do
    case $f in
    *-limits.jsonl | *-filters.jsonl | *-exact.jsonl | */short.jsonl) ;;
    *) $python bench/plot.py "${f%.jsonl}.svg" "$f" ;;
    esac
  done
  echo "raw lines, tables.md and pictures are in $out"
}

case $mode in
short) short ;;
full) full ;;
*) echo 'usage: bench/run.sh short|full'; exit 2 ;;
esac
