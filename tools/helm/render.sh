#!/bin/bash
# render.sh HELM: the chart with its defaults as one manifest on standard output,
# with digests by which a test knows, without Helm, what it was rendered from.
set -euo pipefail
helm=$1 chart=$(cd "$(dirname "$0")/../../deploy/helm/vpcchain" && pwd)
body=$("$helm" template vpcchain "$chart" --namespace kube-system --include-crds --skip-tests; echo .)
body=${body%.} # the command substitution would drop the last newlines
body=${body#*---$'\n'}
cat <<HEAD
# The chart deploy/helm/vpcchain with its defaults, for those who do not use Helm:
#   kubectl apply -f deploy/vpcchain.yaml
# Made by \`make manifests\`; do not edit.
# chart sha256:$(cd "$chart" && find . -type f ! -name README.md | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1)
# manifest sha256:$(printf %s "$body" | sha256sum | cut -d' ' -f1)
---
HEAD
printf %s "$body"
