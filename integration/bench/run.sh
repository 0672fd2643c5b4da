#!/bin/bash
# run.sh: measure the chain on node-a of a simulation of its own, and write docs/performance.md.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$root/bin
trap '"$bin/vpcsim" down --name bench' EXIT
"$bin/vpcsim" down --name bench
"$bin/vpcsim" up --name bench >/dev/null
on() { "$bin/vpcsim" exec --name bench node-a -- "$@"; }
on mkdir -p /etc/cni/net.d
on cp "$root/conflist/10-vpc.conflist" /etc/cni/net.d/
# Prefixes, since an m5.large has 27 secondary addresses only; a floor under the pool, so that it does not change with the pods.
on env IP_COOLDOWN_PERIOD=0 ENABLE_PREFIX_DELEGATION=true MINIMUM_IP_TARGET=64 WARM_IP_TARGET=1 "$bin/vpc-ipamd" 2>/dev/null &
for _ in $(seq 200); do on "$bin/vpcctl" status >/dev/null 2>&1 && break; sleep 0.05; done
on "$bin/bench" -bin "$bin" -out "$root/docs/performance.md" -commit "$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)" "$@"
