#!/bin/sh
# Creates .venv, and .libtorch, a link to the torch in it. `venv.sh libtorch` installs what a build needs: torch, and the
# small libraries that its libtorch_cpu.so requires. `venv.sh reference` installs all of tests/reference/requirements.txt:
# the Python original and what the tests need. Does nothing if that is installed; an outdated .venv is recreated.
set -eu
. "$(dirname "$0")/say.sh"

requirements=tests/reference/requirements.txt
# Copies of what is installed, written last.
all=.venv/requirements.txt
torch_only=.venv/libtorch.txt

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

# The requirements that libtorch consists of.
libtorch() {
    grep -E '^(torch|nvidia-cuda-(cupti|runtime))==' "$requirements"
}

has_libtorch() {
    cmp -s "$requirements" "$all" || libtorch | cmp -s - "$torch_only"
}

create() {
    python=$(find_python)
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "the venv module of $python is missing: install it (Debian: apt-get install python3-venv)"
    "$python" -m venv --clear .venv
}

# install STAMP ARGUMENTS: installs the packages listed in STAMP.new.
install() {
    stamp=$1
    shift
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@" --requirement "$stamp.new" ||
        fail "the packages of $requirements could not be installed (reason above):" \
            "check the network and the free disk space, then run the same command again"
    mv "$stamp.new" "$stamp"
}

case ${1:-} in
libtorch)
    if ! has_libtorch; then
        say "installing libtorch into .venv (1.2 GB)"
        create
        libtorch >"$torch_only.new"
        install "$torch_only" --no-deps
    fi
    ;;
reference)
    if ! cmp -s "$requirements" "$all"; then
        say "installing $requirements into .venv (about 5 GB, a minute or more)"
        has_libtorch || create
        cp "$requirements" "$all.new"
        install "$all"
    fi
    ;;
*) fail "usage: venv.sh libtorch|reference" ;;
esac

torch=$(echo .venv/lib/python3.*/site-packages/torch)
[ -e "$torch/lib/libtorch_cpu.so" ] || [ -e "$torch/lib/libtorch_cpu.dylib" ] ||
    fail "$torch contains no libtorch: remove .venv and run the same command again"
if [ "$(readlink .libtorch 2>/dev/null)" != "$torch" ]; then
    ln -sfn "$torch" .libtorch
fi
