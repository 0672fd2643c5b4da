package main

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
)

// The pod's end gets its carrier when the host's end comes up. A kernel worker
// (linkwatch) then lets it send; what a pod sends before is dropped without an
// error. The worker takes microseconds, but it queues for RTNL with every other
// change of links on the node, and for a processor.
const (
	carrierLimit = time.Second // after it the pod's first packets may be lost, which is no reason to fail an ADD
	carrierEvery = 200 * time.Microsecond
)

// awaitCarrier waits until the pod's end takes packets.
func (k *kernel) awaitCarrier(name string) error {
	for end := time.Now().Add(carrierLimit); ; time.Sleep(carrierEvery) {
		l, err := k.pod.LinkByName(name)
		if err != nil {
			return fmt.Errorf("finding %s in the pod: %w", name, err)
		}
		// The state changes under RTNL, together with what makes the link send.
		if l.Attrs().OperState == netlink.OperUp || time.Now().After(end) {
			return nil
		}
	}
}
