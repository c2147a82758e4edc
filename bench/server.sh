#!/bin/sh
# server.sh - the server under load, it on one core and the load generator on another, which it has to
# itself, so that neither takes time from the other; with SETUP=shared both on all cores:
#   bench/server.sh DATA [overhead] [security] [rates] [users] [closed] [overload] [slow]
#                        [tenants] [chroma]   (all but chroma)
# DATA: a folder with base.npy and query.npy of normalised rows. Searches are for the 10 nearest rows of
# one of 10 tenants. users: up to 200 who think half a second after each answer. closed: clients that ask
# again at once, as wrk measures it. security: what TLS and a token cost a request on a kept connection.
# slow: other clients beside 7,000 slow ones. tenants: others beside
# one who keeps to its quota, and then asks ten times as much. chroma: the highest rate of Chroma's
# server too, from PyPI, over the same rows, which are loaded once, before anything is measured.
# SECONDS_EACH, ROUNDS and CONNECTIONS change how long; raw lines are printed as they come.
set -eu
cd "$(dirname "$0")/.."
data=$1
shift
parts=${*:-overhead security rates users closed overload slow tenants}
each=${SECONDS_EACH:-5}
rounds=${ROUNDS:-3}
many=${CONNECTIONS:-1000}
setup=${SETUP:-apart}
if [ "$setup" = apart ]; then
  on_server='taskset -c 0' on_client='taskset -c 1' poll=poll
else
  on_server= on_client= poll=
fi
folder=build/load
path=/v1/collections/bench/search
bodies=$folder/bodies
server=
spinners=
trap '[ -z "$server$spinners" ] || kill $server $spinners' EXIT

# field NAME: its number in a JSON line.
field() {
  sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p"
}

# start OPTION...: vecdbd over the prepared rows; its port in $port.
start() {
  $on_server build/vecdbd --data $folder/db --listen 127.0.0.1:0 "$@" 2>$folder/log &
  server=$!
  port=
  while [ -z "$port" ]; do
    kill -0 $server || { cat $folder/log; exit 1; }
    port=$(sed -n 's/.*on port //p' $folder/log)
  done
}

stop() {
  kill "$server"
  wait "$server" || true
  server=
}

# load RATE SECONDS CONNECTIONS: one line.
load() {
  $on_client build/bench/load 127.0.0.1 "$port" "$path" "$bodies" "$1" "$2" "$3" $poll
}

# keeps RATE: whether p99 stays below 20 ms, in one of two tries, and everything is answered.
keeps() {
  for _ in 1 2; do
    line=$(load "$1" "$each" 256)
    echo "$line" >&2
    if echo "$line" | field p99 | awk '{exit !($1 < 20)}' &&
      echo "$line" | grep -q '"4xx": 0, "5xx": 0, "broken": 0, "unsent": 0,'; then
      return 0
    fi
  done
  return 1
}

# highest WHAT: doubles the rate as long as it is kept, then halves the distance five times.
highest() {
  good=0
  rate=50
  while keeps $rate; do
    good=$rate
    rate=$((2 * rate))
  done
  for _ in 1 2 3 4 5; do
    middle=$(((good + rate) / 2))
    if keeps $middle; then good=$middle; else rate=$middle; fi
  done
  echo "{\"server\": \"$1\", \"setup\": \"$setup\", \"highest_rate_with_p99_below_20_ms\": $good}"
}

# keep_awake: on each processor something runs whenever nothing else wants to; into $spinners.
keep_awake() {
  for cpu in $(seq 0 $(($(nproc) - 1))); do
    chrt -i 0 taskset -c "$cpu" sh -c 'while :; do :; done' &
    spinners="$spinners $!"
  done
}

let_sleep() {
  # shellcheck disable=SC2086
  kill $spinners
  spinners=
}

# ask PROCESSORS TURN [poll]: one line.
ask() {
  echo "{\"processors\": \"$1\", \"turn\": $2, \"client\": \"${3:-sleeps}\"," \
    "\"poll_us\": \"${VECDBD_SERVER_POLL_US:-default}\", $(
      build/bench/overhead $folder/db "$data/query.npy" 2000 "$2" ${3:-} | cut -c2-)"
}

# By turns as the machine is, also where threads do not wait awake (server.poll_us), and with
# processors that do not sleep: a virtual one wakes through its host, which is no work of the
# server's and takes longer than much of it. A client that asks 25 times in a row, and one that does
# other things between two questions; and one that asks in a row and does not sleep either, so that
# no processor of its own has to be woken.
overhead() {
  for _ in $(seq "$rounds"); do
    for turn in 25 1; do
      (export VECDBD_SERVER_POLL_US=0 && ask "as they are" $turn)
      ask "as they are" $turn
    done
    ask "as they are" 25 poll
    keep_awake
    ask awake 1
    let_sleep
  done
}

# text_of_bytes: base64url of what comes in.
text_of_bytes() {
  base64 -w0 | tr '+/' '-_' | tr -d '='
}

# A certificate, a key of tokens and a token that it has signed, good for an hour, in $folder.
secure() {
  now=$(date +%s)
  (umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench \
      -keyout $folder/tls-key.pem -out $folder/tls.pem 2>$folder/openssl-log
    openssl genpkey -algorithm ed25519 -out $folder/token-key.pem)
  x=$(openssl pkey -in $folder/token-key.pem -pubout -outform DER | tail -c 32 | text_of_bytes)
  echo "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": \"bench\", \"alg\": \"EdDSA\"," \
    "\"use\": \"sig\", \"x\": \"$x\"}]}" >$folder/jwks
  head=$(printf '{"alg":"EdDSA","kid":"bench","typ":"at+jwt"}' | text_of_bytes)
  claims=$(printf '{"iss":"bench","aud":"vecdb","sub":"bench","iat":%d,"exp":%d,"roles":["reader"]}' \
    "$now" $((now + 3600)) | text_of_bytes)
  printf %s "$head.$claims" >$folder/unsigned
  token=$head.$claims.$(openssl pkeyutl -sign -rawin -inkey $folder/token-key.pem \
    -in $folder/unsigned | text_of_bytes)
}

# more WAY: the median of what a search takes longer than in process, of a line of overhead.
more() {
  sed -n "s/.*\"$1_more_us\": {\"p50\": \([0-9.-]*\).*/\1/p"
}

# The same queries on a bare connection and on one with TLS and a token that is shown each time, by
# turns, on processors that do not sleep: what waking one takes differs by more than what is measured.
security() {
  secure
  keep_awake
  for _ in $(seq "$rounds"); do
    bare=$(build/bench/overhead $folder/db "$data/query.npy")
    both=$(OVERHEAD_TOKEN=$token VECDBD_SERVER_TLS_CERTIFICATE=$folder/tls.pem \
      VECDBD_SERVER_TLS_KEY=$folder/tls-key.pem VECDBD_SECURITY_JWKS=$folder/jwks \
      VECDBD_SECURITY_ISSUER=bench VECDBD_SECURITY_AUDIENCE=vecdb \
      build/bench/overhead $folder/db "$data/query.npy")
    printf '%s\n%s\n' "$bare" "$both" >&2
    for way in http grpc; do
      a=$(echo "$bare" | more $way) b=$(echo "$both" | more $way)
      echo "{\"$way\": \"TLS and a token\", \"bare_us\": $a, \"with_both_us\": $b," \
        "\"cost_us\": $(awk "BEGIN {print $b - $a}")}"
    done
  done
  let_sleep
}

rates() {
  start
  load 200 $((4 * each)) 256
  highest vecdbd
  stop
}

users() {
  start
  load 0.5s $((4 * each)) 200
  stop
}

closed() {
  command -v wrk >/dev/null || { echo 'skipped: wrk is not installed'; return; }
  start
  for n in 1 32; do
    $on_client env wrk -t 1 -c $n -d "${each}s" -s bench/server_wrk.lua \
      "http://127.0.0.1:$port$path" -- $bodies | grep '^{'
  done
  stop
}

# used: processor time of the server so far, in seconds.
used() {
  awk -v tick="$(getconf CLK_TCK)" '{print ($14 + $15) / tick}' "/proc/$server/stat"
}

# per_second ANSWERED BEFORE AFTER: answered by a second of the server's processor time.
per_second() {
  awk -v n="$(echo "$1" | field ok)" "BEGIN {print int(n / ($3 - $2))}"
}

# refusal: microseconds of processor time that turning one request away takes a server that does
# nothing else, as fast as it can (refuse.c); into $refusal.
refusal() {
  $on_server build/bench/refuse 2>$folder/log >$folder/refuse &
  server=$!
  until port=$(sed -n 's/.*on port //p' $folder/log) && [ -n "$port" ]; do kill -0 $server; done
  load 100000 2 "$many" >&2
  stop
  refusal=$(field us_each <$folder/refuse)
}

# The peak is what the server answers when clients wait for answers, with as many clients as it is
# largest with; then requests come as fast as that, and three times as fast, over $many connections.
# share_at_best is what the peak leaves of itself where a refusal takes what the system's part does
# (refusal), and the server's own part nothing: with a second for the peak's searches and for two
# refusals beside each that is left out, (1 - 3x) / (1 - x), x being the peak times a refusal.
overload() {
  refusal
  start
  for _ in $(seq "$rounds"); do
    peak=0
    for n in 2 8 32; do
      before=$(used)
      line=$(load 0 "$each" $n)
      if [ "$(echo "$line" | field per_second | sed 's/\..*//')" -gt "${peak%%.*}" ]; then
        peak=$(echo "$line" | field per_second)
        work=$(per_second "$line" "$before" "$(used)")
      fi
    done
    once=$(load "$peak" "$each" "$many" | field per_second)
    before=$(used)
    line=$(load "$(awk "BEGIN {print int(3 * $peak)}")" $((2 * each)) "$many")
    after=$(used)
    echo "$line"
    goodput=$(echo "$line" | field per_second)
    echo "{\"setup\": \"$setup\", \"peak\": $peak, \"asked_as_fast_as_that\": $once," \
      "\"goodput\": $goodput, \"share\": $(awk "BEGIN {print $goodput / $peak}")," \
      "\"share_of_what_it_answers_asked_once\": $(awk "BEGIN {print $goodput / $once}")," \
      "\"refusal_us_at_least\": $refusal, \"share_at_best\":" \
      "$(awk "BEGIN {x = $peak * $refusal / 1e6; print (1 - 3 * x) / (1 - x)}")," \
      "\"answered_by_a_second_of_the_server\": {\"peak\": $work, \"three_times\":" \
      "$(per_second "$line" "$before" "$after")}, \"server_processor_seconds\":" \
      "$(awk "BEGIN {print $after - $before}")," \
      "\"peak_resident_kb\": $(awk '/^VmHWM/ {print $2}' "/proc/$server/status")}"
  done
  stop
}

slow() {
  start
  $on_client python3 bench/server_slow.py "$port" "$server"
  stop
}

start_chroma() {
  $1 build/chroma/bin/chroma run --path $folder/chroma --host 127.0.0.1 --port 18765 \
    >$folder/chroma-log 2>&1 &
  server=$!
  port=18765
}

# fill_chroma: the path of its searches in $chroma_path.
fill_chroma() {
  [ -e build/chroma/installed ] || { python3 -m venv build/chroma &&
    build/chroma/bin/pip -q install chromadb && touch build/chroma/installed; }
  start_chroma ''
  chroma_path=$(build/chroma/bin/python bench/server_chroma.py $port "$data" $folder/chroma-bodies)
  stop
}

# key NAME: makes an API key, and adds it to the keys' file; the header that shows it.
key() {
  build/vecdbd --make-key "$1" >$folder/key
  sed 1d $folder/key >>$folder/keys
  sed -n 's/^;.*: /api-key: /p' $folder/key
}

# p99 of others at 80 requests a second, beside one at $1, whose generator makes way for theirs.
beside() {
  LOAD_HEADER=$noisy nice -n 19 $on_client build/bench/load 127.0.0.1 "$port" "$path" "$bodies" \
    "$1" $((each + 2)) 64 >$folder/noisy &
  sleep 1
  LOAD_HEADER=$quiet $on_client build/bench/load 127.0.0.1 "$port" "$path" "$bodies" \
    80 "$each" 64 | tee -a $folder/quiet | field p99
  wait $!
  cat $folder/noisy $folder/quiet >&2
  rm $folder/quiet
}

tenants() {
  quota=100
  rm -f $folder/keys
  (umask 077 && : >$folder/keys)
  noisy=$(key noisy)
  quiet=$(key quiet)
  start --security.keys $folder/keys --quota.requests_per_second $quota
  for _ in $(seq "$rounds"); do
    within=$(beside $quota)
    beyond=$(beside $((10 * quota)))
    echo "{\"others_p99_ms_beside_one_within_its_quota\": $within, \"beside_ten_times_as_much\":" \
      "$beyond, \"ratio\": $(awk "BEGIN {print $beyond / $within}")}"
  done
  stop
}

chroma() {
  bodies=$folder/chroma-bodies
  path=$chroma_path
  start_chroma "$on_server"
  until load 1 1 1 | grep -q '"ok": 1,'; do :; done 2>/dev/null
  load 200 $((4 * each)) 256
  highest chroma
  stop
}

[ -d $folder/db ] || { mkdir -p $folder &&
  build/bench/load --prepare $folder/db "$data/base.npy" "$data/query.npy" ip $bodies; }
case " $parts " in *' chroma '*) fill_chroma ;; esac
for part in $parts; do
  "$part"
done
