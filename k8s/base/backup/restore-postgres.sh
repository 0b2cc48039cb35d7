#!/bin/sh
# Put the dump that is given in the place of everything that is in the database: all of it, or nothing.
set -eu
dump=$1
pg_restore --list "$dump" > /dev/null
{
    echo 'begin; drop schema public cascade; create schema public;'
    pg_restore --no-owner --no-privileges --schema=public --file=- "$dump"
    echo 'commit;'
} | psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --output=/dev/null "$TONEARM_DATABASE_URL"
