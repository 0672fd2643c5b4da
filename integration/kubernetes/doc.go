// Package kubernetes runs a Kubernetes node on an instance of a simulation: the
// real kube-apiserver, etcd and kubelet with containerd below, all of them in the
// instance's network and mount namespaces. Its tests are `make test-kubernetes`.
package kubernetes
