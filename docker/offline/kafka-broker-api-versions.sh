#!/usr/bin/env bash
# Of the official image's commands the one by which compose sees that the broker listens: --bootstrap-server HOST:PORT.
set -euo pipefail
exec 3<>"/dev/tcp/${2%:*}/${2##*:}"
