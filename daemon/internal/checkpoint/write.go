package checkpoint

import (
	"encoding/json"
	"fmt"
)

// Format is the file for the stock daemon that takes over pods of ours: the
// inverse of Parse. It finds a pod's link by the name that vpcnet.HostVethName
// makes of namespace and name, and drops an entry whose link it does not find, so
// one without them, or of another interface than eth0, is refused here. Every
// entry is of the stock network, the one that its runtime will delete it from.
func Format(entries []Entry) ([]byte, error) {
	type metadata struct {
		Namespace  string `json:"k8sPodNamespace"`
		Name       string `json:"k8sPodName"`
		Interfaces int    `json:"interfacesCount"`
	}
	type allocation struct {
		Network     string   `json:"networkName"`
		ContainerID string   `json:"containerID"`
		IfName      string   `json:"ifName"`
		IPv4        string   `json:"ipv4"`
		Since       int64    `json:"allocationTimestamp"`
		Metadata    metadata `json:"metadata"`
	}
	list := make([]allocation, 0, len(entries))
	for _, e := range entries {
		if e.Name == "" || e.Namespace == "" || e.Attachment.IfName != "eth0" {
			return nil, fmt.Errorf("the stock daemon cannot take over %s: it knows eth0 of Kubernetes pods by their names alone: delete this one first", e)
		}
		list = append(list, allocation{network, e.Attachment.ContainerID, e.Attachment.IfName, e.Addr.String(), e.Since.UnixNano(), metadata{e.Namespace, e.Name, 1}})
	}
	raw, err := json.Marshal(struct {
		Version     string       `json:"version"`
		Allocations []allocation `json:"allocations"`
	}{Version, list})
	if err != nil {
		return nil, fmt.Errorf("writing the stock daemon's checkpoint: %w", err)
	}
	return append(raw, '\n'), nil
}
