#!/bin/sh
# Put the dump that is given in the place of everything that is in the database: all of it, or nothing.
set -eu
dump=$1
# First into a file, and not through a pipe: the shell would not see that a torn dump ended too early.
{
    echo 'drop schema public cascade; create schema public;'
    pg_restore --no-owner --no-privileges --schema=public --file=- "$dump"
} > "$dump.sql"
psql --quiet --no-psqlrc --single-transaction --set=ON_ERROR_STOP=1 --output=/dev/null --file="$dump.sql" \
    "$TONEARM_DATABASE_URL"
rm "$dump.sql"
