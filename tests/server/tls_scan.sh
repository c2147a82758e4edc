#!/bin/sh
# What sslscan finds that build/vecdbd speaks: TLS 1.2 and 1.3 with authenticated encryption and
# forward secrecy, nothing else; then a wrong key and SIGHUP, which change nothing.
set -u
cd "$(dirname "$0")/../.." || exit 1
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; rm -rf "$folder"' EXIT

# fail WHAT: says so, and shows what was found.
fail() {
  echo "tls-test: $1" >&2
  cat "$folder/found" "$folder/log" >&2
  exit 1
}

touch "$folder/found" "$folder/log"
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$folder/key" -out "$folder/certificate" -days 1 \
  -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>"$folder/log" ||
  fail 'no certificate can be made'
chmod 600 "$folder/key"
build/vecdbd --data "$folder/db" --listen 127.0.0.1:0 --server.tls_certificate "$folder/certificate" \
  --server.tls_key "$folder/key" 2>"$folder/log" &
server=$!
port=
while [ -z "$port" ]; do
  kill -0 $server 2>/dev/null || fail 'the server does not start'
  port=$(sed -n 's/.* on port //p' "$folder/log")
done

sslscan --no-colour "127.0.0.1:$port" >"$folder/found" || fail 'sslscan ends with an error'
for version in SSLv2 SSLv3 TLSv1.0 TLSv1.1; do
  grep -Eq "^$version +disabled" "$folder/found" || fail "$version is spoken"
done
for version in TLSv1.2 TLSv1.3; do
  grep -Eq "^$version +enabled" "$folder/found" || fail "$version is not spoken"
done
suites=$(grep -Ec '^(Preferred|Accepted) ' "$folder/found")
strong=$(grep -Ec '^(Preferred|Accepted) .* (TLS|ECDHE)[-_].*(GCM|POLY1305)' "$folder/found")
[ "$suites" -gt 3 ] || fail 'suites are missing'
[ "$suites" -eq "$strong" ] || fail 'a suite is weak'
grep -q 'Session renegotiation not supported' "$folder/found" || fail 'renegotiation'

echo 'no key' >"$folder/key"
kill -HUP $server
until grep -q 'the certificate stays as it was' "$folder/log"; do
  kill -0 $server 2>/dev/null || fail 'a wrong key ends the server'
done
curl -sf --cacert "$folder/certificate" "https://localhost:$port/healthz" >"$folder/found" ||
  fail 'nothing is served after a wrong key'
echo "tls-test: $suites suites, all strong"
