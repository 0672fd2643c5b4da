#!/bin/bash
# build.sh DIR: make sure that kube-apiserver, kubelet and etcd are in DIR, built
# from the modules here. The first time takes about a quarter of an hour (8 minutes of processor time); each
# program gets its name when it is complete. build.sh -check DIR only tells
# whether they are there.
set -euo pipefail
check=
if [ "$1" = -check ]; then check=1; shift; else mkdir -p "$1"; fi
dir=$(realpath -m "$1")
cd "$(dirname "$0")"
version=$(awk '$1 == "require" && $2 == "k8s.io/kubernetes" { print $3 }' go.mod)
minor=${version#v1.}; minor=${minor%%.*}
# The components tell and compare the version that is linked into them.
x="-X k8s.io/component-base/version.gitVersion=$version -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=$minor"
x+=" -X k8s.io/client-go/pkg/version.gitVersion=$version"

build() { # NAME DIRECTORY PACKAGE LDFLAGS
  [ -x "$dir/$1" ] && return
  if [ "$check" ]; then echo "$dir/$1 is not built"; exit 1; fi
  echo "building $1"
  (cd "$2" && go build -trimpath -buildvcs=false -ldflags "-s -w $4" -o "$dir/.$1.new" "$3")
  mv "$dir/.$1.new" "$dir/$1"
}
build etcd etcd go.etcd.io/etcd/server/v3 ""
build kube-apiserver . k8s.io/kubernetes/cmd/kube-apiserver "$x"
build kubelet . k8s.io/kubernetes/cmd/kubelet "$x"
