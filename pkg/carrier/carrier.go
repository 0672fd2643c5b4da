// Package carrier waits for the end of a pod's link to take packets.
package carrier

import (
	"fmt"
	"time"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
)

// The pod's end gets its carrier when the host's end comes up. A kernel worker
// (linkwatch) then lets it send; what a pod sends before is dropped without an
// error. The worker takes microseconds, but it queues for RTNL with every other
// change of links on the node, and for a processor.
const (
	limit = time.Second // after it the pod's first packets may be lost, which is no reason to fail an ADD
	every = 200 * time.Microsecond
)

// Await waits, for a second at most, until the link takes packets. The handle is
// one in the pod's network namespace. The plugin that brings the host's end up
// calls it last.
func Await(pod netlinksafe.Handle, name string) error {
	for end := time.Now().Add(limit); ; time.Sleep(every) {
		l, err := pod.LinkByName(name)
		if err != nil {
			return fmt.Errorf("finding %s in the pod: %w", name, err)
		}
		// The state changes under RTNL, together with what makes the link send.
		if l.Attrs().OperState == netlink.OperUp || time.Now().After(end) {
			return nil
		}
	}
}
