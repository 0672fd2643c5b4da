#!/bin/bash
# build.sh BIN OUT: make an OCI image of the programs in BIN and write it as an
# archive to OUT, without a registry and without a base image. What is not a static
# program of ours comes from the installed Debian packages iptables and
# ca-certificates: both flavours of iptables, their extensions and libraries, and
# the roots of trust for EC2's endpoints. The same files give the same image.
set -euo pipefail
bin=$1 out=$2 name=localhost/vpcchain
version=$(sed -n 's/^appVersion: *//p' "$(dirname "$0")/../../deploy/helm/vpcchain/Chart.yaml")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# The daemons; the plugins, which vpcctl finds beside itself to install them; of
# upstream's what a conflist of ours can name, and loopback, which runtimes call first.
install -D -m 755 -t "$root/usr/local/bin" "$bin"/{vpc-ipamd,vpc-kube,vpcctl,vpc-ipam,vpc-veth,vpc-snat,vpc-sgpp} "$bin"/cni/{portmap,bandwidth,loopback}

# keep copies files under the path that programs find them by; what a link leads to
# comes along as a file.
keep() { for f; do install -D -m "$(stat -L -c %a "$f")" "$f" "$root$f"; done; }
multis=(/usr/sbin/xtables-nft-multi /usr/sbin/xtables-legacy-multi)
extensions=()
while read -r f; do
  # IPv4 alone: extensions of ip6tables, arptables and ebtables are left out.
  case ${f##*/} in libxt_*.so | libipt_*.so) extensions+=("$f") ;; esac
done < <(dpkg -L iptables)
[ ${#extensions[@]} -gt 0 ] || { echo "build.sh: the package iptables has no extensions" >&2; exit 1; }
keep "${multis[@]}" /etc/ssl/certs/ca-certificates.crt
# Many extensions are links to one that does the work of several.
for f in "${extensions[@]}"; do
  if [ -L "$f" ]; then mkdir -p "$root${f%/*}"; cp -P "$f" "$root$f"; else keep "$f"; fi
done
# The libraries: "libx.so => /path (address)", and the loader, which has no arrow.
while read -r f; do keep "$f"; done < <(ldd "${multis[@]}" "${extensions[@]}" | grep -oE '/[^ ]+ \(0x' | cut -d' ' -f1 | sort -u)
for c in iptables iptables-save iptables-restore; do
  ln -s xtables-nft-multi "$root/usr/sbin/$c"
  ln -s xtables-nft-multi "$root/usr/sbin/${c/iptables/iptables-nft}"
  ln -s xtables-legacy-multi "$root/usr/sbin/${c/iptables/iptables-legacy}"
done
for p in iptables libc6 libxtables12 libmnl0 libnftnl11 libip4tc2 libip6tc2 libnetfilter-conntrack3 libnfnetlink0 ca-certificates; do
  if [ -e /usr/share/doc/$p/copyright ]; then keep /usr/share/doc/$p/copyright; fi
done
mkdir -p "$root"/{run,tmp,proc,sys,dev,etc}

# Nothing runs in it here, so neither a runtime nor an overlay is needed.
buildah() { command buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
container=$(buildah from scratch)
buildah copy -q "$container" "$root" / >/dev/null
buildah config --env PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --entrypoint '[]' --cmd vpc-ipamd \
  --label org.opencontainers.image.title=vpcchain --label "org.opencontainers.image.version=$version" \
  --label org.opencontainers.image.licenses=Apache-2.0 "$container"
image=$(buildah commit -q --format oci --timestamp 0 "$container")
mkdir -p "$(dirname "$out")"
rm -f "$out"
buildah push -q "$image" "oci-archive:$out:$name:$version"
size=$(stat -c %s "$out")
echo "$name:$version: $out, $((size / 1000000)).$((size / 100000 % 10)) MB compressed, $(du -sm --apparent-size "$root" | cut -f1) MB unpacked"
if [ "$size" -gt 40000000 ]; then
  echo "build.sh: more than 40 MB: every new node fetches it before its first pod" >&2
  exit 1
fi
