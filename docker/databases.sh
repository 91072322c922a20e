#!/usr/bin/env bash
# Run once, on a new volume: a database and a role for each service, and nobody else may connect to it.
set -euo pipefail

for service in reservation diagnosis acceptance notice lookup oauth; do
  psql --username postgres --set ON_ERROR_STOP=1 --set name="$service" --set password="local-$service" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
