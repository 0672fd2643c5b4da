#!/bin/bash
# run.sh: measure the chain on node-a of a simulation of its own.
set -euo pipefail
bin=$(cd "$(dirname "$0")/../.." && pwd)/bin
conflist=$(cd "$(dirname "$0")/../.." && pwd)/conflist/10-vpc.conflist
trap '"$bin/vpcsim" down --name bench' EXIT
"$bin/vpcsim" down --name bench
"$bin/vpcsim" up --name bench >/dev/null
on() { "$bin/vpcsim" exec --name bench node-a -- "$@"; }
on mkdir -p /etc/cni/net.d
on cp "$conflist" /etc/cni/net.d/
on env IP_COOLDOWN_PERIOD=0 "$bin/vpc-ipamd" 2>/dev/null &
for _ in $(seq 200); do on "$bin/vpcctl" status >/dev/null 2>&1 && break; sleep 0.05; done
on "$bin/bench" -bin "$bin" "$@"
