#!/bin/bash
# promtool.sh FILE: put promtool, which checks alert rules and metrics, where FILE
# says. It is taken out of Debian's package prometheus, which is not installed:
# nothing of it may start here. Without apt-get it says so and goes on, and the
# test that needs it says why it does not run.
set -euo pipefail
[ ! -x "$1" ] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
  echo "missing: promtool (it is taken from Debian's package prometheus)"
  exit 0
fi
mkdir -p "$(dirname "$1")"
part=$(mktemp -d)
trap 'rm -rf "$part"' EXIT
cd "$part"
echo "fetching promtool of Debian's package prometheus"
apt-cache show prometheus >/dev/null 2>&1 || apt-get update -qq
# apt's own user may not be able to write here; root downloads as root.
apt-get -qq -o APT::Sandbox::User=root download prometheus
dpkg -x prometheus_*.deb .
mv usr/bin/promtool "$1.part"
mv "$1.part" "$1"
