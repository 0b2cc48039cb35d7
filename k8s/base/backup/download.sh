#!/bin/sh
# Copy one object of the bucket into the file that is given.
set -eu
rclone copyto "s3:$BUCKET/$1" "$2"
test -s "$2"
