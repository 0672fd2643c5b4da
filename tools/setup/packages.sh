#!/bin/bash
# packages.sh WHAT: make sure that the commands WHAT needs are there ("demo",
# "test", "runtimes" or "image"). As root on Debian it installs the packages that are missing and says
# so; otherwise it says what is missing and goes on, and whoever needs it fails
# or skips with a reason of its own.
set -euo pipefail
declare -A package=([ip]=iproute2 [nft]=nftables [ping]=iputils-ping [iptables]=iptables)
if [ "${1:-}" = test ]; then
  package+=([tc]=iproute2 [strace]=strace [gcc]=gcc)
  package+=([chromium]=chromium) # to look at the daemon's page; a dependency of it brings a font
  # The virtual machine for tests of 802.1Q (tools/vm/run-in-vm.sh).
  package+=([qemu-system-x86_64]=qemu-system-x86 [busybox]=busybox-static [depmod]=kmod [cpio]=cpio)
fi
if [ "${1:-}" = runtimes ]; then
  package+=([tc]=iproute2 [containerd]=containerd [ctr]=containerd [runc]=runc [podman]=podman [conmon]=conmon)
fi
if [ "${1:-}" = image ]; then package+=([buildah]=buildah); fi
missing=()
for cmd in "${!package[@]}"; do
  command -v "$cmd" >/dev/null || missing+=("${package[$cmd]}")
done
# The race detector needs a C library to link against.
if [ "${1:-}" = test ] && [ ! -e /usr/include/stdlib.h ]; then missing+=(libc6-dev); fi
# Fetching Go modules needs the roots of trust.
if [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then missing+=(ca-certificates); fi
[ ${#missing[@]} -eq 0 ] && exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]} (not installed: that needs root and apt-get)"
  exit 0
fi
echo "installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# The packages of runtimes start them, and here they are to run in simulations alone.
policy=/usr/sbin/policy-rc.d
if [ "${1:-}" = runtimes ] && [ ! -e $policy ]; then
  trap 'rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod +x $policy
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
