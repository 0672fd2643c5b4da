package eni

// Tags of the stock daemon, which find its ENIs and ours.
const (
	// TagInstance has the id of the instance that an ENI was made for.
	TagInstance = "node.k8s.amazonaws.com/instance_id"
	// TagCluster has the name of that instance's cluster.
	TagCluster = "cluster.k8s.amazonaws.com/name"
)
