package ipamapi

import "github.com/vpcchain/vpcchain/pkg/vpcnet"

// Keys of AssignRequest.Annotations.
const (
	AnnotationPodENI = vpcnet.AnnotationPodENI
	AnnotationGroups = vpcnet.AnnotationGroups
)
