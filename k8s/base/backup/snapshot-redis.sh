#!/bin/sh
# Take a snapshot of each master among REDIS_HOSTS (all members of a cluster, or the one server) into the folder that is
# given. It is what a replica would be sent: complete, as of one moment, and no load on the append-only file.
set -eu
folder=$1
now=$(date -u +%Y%m%dT%H%M%SZ)
port=${REDIS_PORT:-6379}
taken=0
for host in $REDIS_HOSTS; do
    role=$(redis-cli -h "$host" -p "$port" role | head -n 1)
    case $role in
        master) ;;
        slave) continue ;;
        *) echo "$host does not say what it is: $role" >&2; exit 1 ;;
    esac
    file=$folder/redis-$host-$now.rdb
    redis-cli -h "$host" -p "$port" --rdb "$file.part"
    test "$(head -c 5 "$file.part")" = REDIS || test "$(head -c 6 "$file.part")" = VALKEY
    mv "$file.part" "$file"
    taken=$((taken + 1))
done
test "$taken" -gt 0 || { echo "None of $REDIS_HOSTS is a master." >&2; exit 1; }
