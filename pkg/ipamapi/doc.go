// Package ipamapi is the gRPC contract of the daemon's unix socket, generated
// from ipam.proto, and nothing else: `make generate` (needs protoc) renews it.
package ipamapi

import "github.com/vpcchain/vpcchain/pkg/vpcnet"

// DefaultSocket is vpcnet's, for those who know this package anyway.
const DefaultSocket = vpcnet.DefaultSocket

// Keys of AssignRequest.Annotations, likewise.
const (
	AnnotationPodENI = vpcnet.AnnotationPodENI
	AnnotationGroups = vpcnet.AnnotationGroups
)
