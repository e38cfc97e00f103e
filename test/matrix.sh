#!/bin/bash
# Runs the tests in other releases of Debian, each in a chroot made by
# debootstrap: MATRIX="trixie" (PostgreSQL 17) by default; "bookworm" is a fresh
# Debian 12 on which nothing but make is installed; "sid" has the newest
# server. It needs root, or sudo.
set -eu
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "matrix.sh: a chroot needs root" >&2
        exit 1
    }
    exec sudo MATRIX="${MATRIX:-}" INTEG_LONG="${INTEG_LONG:-}" TESTS="${TESTS:-}" LAYERS="${LAYERS:-}" "$0" "$@"
fi
# shellcheck source=test/lib.sh
. "$(dirname "$0")/lib.sh"
test/packages.sh matrix
scratch_make matrix
# debootstrap wants root's own folder, and one that may hold devices and programs.
chroots=$(mktemp -d /var/tmp/integ-matrix.XXXXXX)

unmount() {
    local at
    for at in dev/shm dev/pts dev proc sys; do
        mountpoint -q "$1/$at" && umount -l "$1/$at"
    done
    return 0
}

cleanup() {
    local root
    for root in "$chroots"/*; do
        unmount "$root"
    done
    # One file system only: were something still mounted, it would stay whole.
    rm -rf --one-file-system "$chroots" "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The mirror that this machine uses.
mirror() {
    sed -nE 's/^(deb |URIs: *)(\[[^]]*\] *)?(https?:\/\/[^ ]*\/debian)\/?( .*)?$/\3/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -1
}

# run RELEASE: the last line is that of make check.
run() {
    local release=$1 root=$chroots/$1 url
    url=$(mirror)
    say "--- $release"
    debootstrap --variant=minbase --include=make,ca-certificates "$release" "$root" ${url:+"$url"} \
        >"$scratch/$release.log" 2>&1 || {
        tail -n 20 "$scratch/$release.log"
        say "debootstrap could not make $release."
        return 1
    }
    mkdir -p "$root/dev/shm"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev" && mount --make-rslave "$root/dev"
    # How this machine reaches its mirror holds in the chroot, too.
    cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
    cp /etc/apt/apt.conf "$root/etc/apt/" 2>/dev/null || true
    cp /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
    cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
    chroot "$root" update-ca-certificates >>"$scratch/$release.log" 2>&1
    mkdir "$root/root/integ"
    tar -C "$checkout" --exclude=./build --exclude=./.git --exclude='*.o' --exclude='*.so' -cf - . |
        tar -C "$root/root/integ" -xf -
    chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root INTEG_LONG="${INTEG_LONG:-}" \
        NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
        TESTS="${TESTS:-}" LAYERS="${LAYERS:-}" http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" \
        make --no-print-directory -C /root/integ check </dev/null
}

failed=0
for release in ${MATRIX:-trixie}; do
    run "$release" || failed=1
    unmount "$chroots/$release"
done
exit $failed
