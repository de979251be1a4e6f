#!/bin/sh
# Creates .venv from tests/reference/requirements.txt, and .libtorch, a link to the torch in it. Does nothing if both
# are up to date; an incomplete or outdated .venv is recreated.
set -eu
. "$(dirname "$0")/say.sh"

requirements=tests/reference/requirements.txt
# Written last: it exists only if all packages are installed.
stamp=.venv/requirements.txt

usable() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

find_python() {
    for python in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3; do
        if command -v "$python" >/dev/null && usable "$python"; then
            echo "$python"
            return
        fi
    done
    fail "Python 3.11 to 3.14 is missing: install it (Debian: apt-get install python3 python3-venv)," \
        "or set PYTHON=/path/to/python3"
}

if ! cmp -s "$requirements" "$stamp"; then
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "the venv module of $python is missing: install it (Debian: apt-get install python3-venv)"
    say "creating .venv from $requirements (about 5 GB, a minute or more)"
    "$python" -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$requirements" ||
        fail "the packages of $requirements could not be installed (reason above):" \
            "check the network and the free disk space, then run the same command again"
    cp "$requirements" "$stamp.new"
    mv "$stamp.new" "$stamp"
fi

torch=$(echo .venv/lib/python3.*/site-packages/torch)
[ -e "$torch/lib/libtorch_cpu.so" ] || [ -e "$torch/lib/libtorch_cpu.dylib" ] ||
    fail "$torch contains no libtorch: remove .venv and run the same command again"
if [ "$(readlink .libtorch 2>/dev/null)" != "$torch" ]; then
    ln -sfn "$torch" .libtorch
fi
