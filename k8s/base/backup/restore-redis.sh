#!/bin/sh
# Make the snapshot that is given what the server in the data folder begins with. The server must be down. With
# `appendonly yes` it ignores dump.rdb; so the snapshot becomes the base of an append-only file.
set -eu
snapshot=$1
data=$2
case $(head -c 6 "$snapshot") in
    REDIS* | VALKEY) ;;
    *) echo "$snapshot is no snapshot." >&2; exit 1 ;;
esac
rm -rf "$data/appendonlydir.new"
mkdir -p "$data/appendonlydir.new"
cp "$snapshot" "$data/appendonlydir.new/appendonly.aof.1.base.rdb"
: > "$data/appendonlydir.new/appendonly.aof.1.incr.aof"
{
    echo 'file appendonly.aof.1.base.rdb seq 1 type b'
    echo 'file appendonly.aof.1.incr.aof seq 1 type i'
} > "$data/appendonlydir.new/appendonly.aof.manifest"
rm -rf "$data/appendonlydir.old"
test ! -e "$data/appendonlydir" || mv "$data/appendonlydir" "$data/appendonlydir.old"
mv "$data/appendonlydir.new" "$data/appendonlydir"
