# Sourced by the scripts beside it: one way of saying what is done and what is missing.

say() {
    printf '==> %s\n' "$*" >&2
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}
