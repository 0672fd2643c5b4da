package main

import (
	"fmt"
	"time"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
)

// drainView is an ENI on its way out.
type drainView struct {
	Since time.Time `json:"since"`
	Pods  int       `json:"pods"`  // that it has still
	Waits string    `json:"waits"` // for what
}

func drainOf(d *ipamapi.PoolDrain) *drainView {
	if d == nil {
		return nil
	}
	return &drainView{Since: time.Unix(d.GetSince(), 0).UTC(), Pods: int(d.GetPods()), Waits: d.GetWaits()}
}

func (d drainView) String() string { return fmt.Sprintf("draining, waits for %s", d.Waits) }
