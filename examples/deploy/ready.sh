#!/bin/bash
# Whether vecdbd on this machine takes requests: exits 0 when GET /readyz is answered 200.
# Usage: ready.sh [PORT]. bash makes the connection, so that the image needs no HTTP client.
exec 3<>"/dev/tcp/127.0.0.1/${1:-8000}" || exit 1
printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 5 _ status _ <&3 && [ "$status" = 200 ]
