// Package ipamapi is the gRPC contract of the daemon's unix socket, generated
// from ipam.proto, and nothing else: `make generate` (needs protoc) renews it.
package ipamapi

// DefaultSocket is where vpc-ipamd listens. Only root may connect.
const DefaultSocket = "/run/vpc-cni/ipamd.sock"
