#!/bin/sh
# install.sh EXTRA [ROOM...]: the locked packages of an extra and our wheel, into a virtual environment of their own, without
# the rooms that its process does not enter. Compiled here, as the running container can't; by content, so that no process
# looks at the time of a source file.
set -eu
extra=$1
shift

packages() {
    python -m pip --python "$VIRTUAL_ENV/bin/python" install "$@"
}

python -m venv --without-pip "$VIRTUAL_ENV"
packages --require-hashes --requirement "requirements/$extra.txt"
packages --no-deps /wheel/*.whl
for room; do
    rm -r "$VIRTUAL_ENV"/lib/python3*/site-packages/"$room"
done
"$VIRTUAL_ENV/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$VIRTUAL_ENV/lib"
