#!/usr/bin/env bash
# Run once, on a new volume: a database and a role for each service, and nobody else may connect to it.
set -euo pipefail

for file in /run/secrets/databases/*; do
  service=$(basename "$file")
  url=$(cat "$file")
  password=${url#*://*:}
  password=${password%%@*}
  psql --username postgres --set ON_ERROR_STOP=1 --set name="$service" --set password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
