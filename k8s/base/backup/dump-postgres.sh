#!/bin/sh
# Dump the database that TONEARM_DATABASE_URL names into the folder that is given, and see that the dump can be read.
set -eu
folder=$1
file=$folder/postgres-$(date -u +%Y%m%dT%H%M%SZ).dump
pg_dump --format=custom --no-owner --no-privileges --file="$file.part" "$TONEARM_DATABASE_URL"
pg_restore --list "$file.part" > /dev/null
mv "$file.part" "$file"
