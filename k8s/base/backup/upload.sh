#!/bin/sh
# Copy the folder that is given to the bucket, below the prefix, and remove there what is older than KEEP_DAYS; nothing is
# removed where nothing was copied.
set -eu
folder=$1
prefix=$2
test -n "$(ls "$folder")"
rclone copy --immutable "$folder" "s3:$BUCKET/$prefix"
rclone check --one-way --size-only "$folder" "s3:$BUCKET/$prefix"
rclone delete --min-age "${KEEP_DAYS}d" "s3:$BUCKET/$prefix"
