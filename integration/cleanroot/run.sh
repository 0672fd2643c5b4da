#!/bin/bash
# run.sh DIR TARGET...: run make targets on a machine with nothing but Go, git
# and make: a Debian 12 root made in DIR with debootstrap, this checkout's HEAD
# cloned into it. The root has its own everything but the kernel; it is removed
# afterwards unless KEEP is set. Needs root, debootstrap and network access for
# Debian packages and Go modules (GOPROXY is handed on).
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
root=$1; shift
src=$(cd "$(dirname "$0")/../.." && pwd)
goroot=$(go env GOROOT)
mounts=()
cleanup() {
  for m in "${mounts[@]}"; do umount -R "$m"; done
  [ -n "${KEEP:-}" ] || rm -rf --one-file-system "$root"
}
trap cleanup EXIT
bind() { mkdir -p "$root$2"; mount --rbind "$1" "$root$2"; mount --make-rslave "$root$2"; mounts=("$root$2" "${mounts[@]}"); }
if [ ! -e "$root/etc/debian_version" ]; then
  debootstrap --variant=minbase --include=git,make,ca-certificates bookworm "$root" "${MIRROR:-http://deb.debian.org/debian}" >"$root.log"
fi
bind /proc /proc; bind /sys /sys; bind /dev /dev
mkdir -p "$root/run"; mount -t tmpfs tmpfs "$root/run"; mounts=("$root/run" "${mounts[@]}")
bind "$goroot" /usr/local/go
for f in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt; do [ -e "$f" ] && cp -L "$f" "$root$f"; done
rm -rf "$root/src"; git clone -q "$src" "$root/src"
env -i PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
  GOTOOLCHAIN=local GOPROXY="$(go env GOPROXY)" GOSUMDB="$(go env GOSUMDB)" \
  chroot "$root" bash -c 'cd /src && git config --global --add safe.directory /src && for t in "$@"; do echo "\$ make $t"; make "$t"; done' - "$@"
