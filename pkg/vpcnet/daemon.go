package vpcnet

// DefaultSocket is where vpc-ipamd listens. Only root may connect.
const DefaultSocket = "/run/vpc-cni/ipamd.sock"

// Annotations of a pod that concern its branch ENI. A plugin sends them to the daemon.
const (
	// AnnotationPodENI is a branch ENI that the VPC resource controller made.
	AnnotationPodENI = "vpc.amazonaws.com/pod-eni"
	// AnnotationGroups are security groups for a branch ENI that the daemon makes:
	// ids with commas between them.
	AnnotationGroups = "vpc.amazonaws.com/security-groups"
)
