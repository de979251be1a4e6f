#!/bin/sh
# Downloads Fashion-MNIST unless it exists: from its publisher, else as Debian's package.
set -eu
. "$(dirname "$0")/say.sh"

stitch=target/release/stitch
package=dataset-fashion-mnist
folder=data/fashion-mnist

is_intact() {
    "$stitch" data verify >/dev/null 2>&1
}

install_package() {
    apt-get update -qq && apt-get install -qq --yes --no-install-recommends "$package" >/dev/null
}

# Without root: download the package and extract its files.
unpack_package() {
    # Chained with &&: `set -e` has no effect in a function whose result is tested.
    work=$folder.unpacking
    rm -rf "$work" && mkdir -p "$work" "$folder" &&
        (cd "$work" && apt-get download -qq "$package" && dpkg-deb -x "$package"_*.deb .) &&
        mv "$work"/usr/share/datasets/fashion-mnist/*.gz "$folder" &&
        rm -rf "$work"
}

from_debian() {
    command -v apt-get >/dev/null || return 1
    say "the publisher cannot be reached: using Debian's package $package"
    if [ "$(id -u)" -eq 0 ]; then install_package; else unpack_package; fi
}

if is_intact; then
    exit 0
fi
if [ -n "${FASHION_MNIST_DIR:-}" ]; then
    # The folder that the user has set is not replaced by another.
    "$stitch" data verify >&2 || true
    fail "FASHION_MNIST_DIR=$FASHION_MNIST_DIR contains no intact data set (reason above):" \
        "give another folder, or unset it to download the data set"
fi
"$stitch" data fetch --to "$folder" >&2 || from_debian ||
    fail "Fashion-MNIST could not be downloaded: check the network, or put its four files into $folder"
if ! "$stitch" data verify >&2; then
    fail "the data set is damaged (see above): remove the damaged file, then run" \
        "the same command again"
fi
