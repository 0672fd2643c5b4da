package engine

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
)

// The VPC's CIDRs change while everything that reads what is known of the node
// is at it: the race detector must not see them, and the facts follow.
func TestCIDRsChangeUnderTheirReaders(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, Cooldown: time.Second}, func(t *testing.T, r *rig) {
		var told atomic.Int32
		r.deps.FactsChanged = func() { told.Add(1) }
		r.start()
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for i, read := range []func(){
			func() { r.View() },
			func() { r.Status() },
			func() { r.desired(time.Now()) },
			func() { r.whoAmI() },
			func() { r.alignGroups(t.Context(), []string{"sg-1"}) },
			func() {
				if err := r.writeFacts(); err != nil {
					t.Error(err)
				}
			},
			func() {
				r.mustAssign("a")
				r.mustRelease("a")
			},
		} {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(i+1) * 7 * time.Millisecond):
						read()
					}
				}
			})
		}
		var last netip.Prefix
		const changes = 10
		for i := range changes {
			last = netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i+1))
			r.ec2.set(func() { r.ec2.enis["eni-0"].Subnet = last })
			time.Sleep(factsEvery)
		}
		time.Sleep(time.Second)
		close(stop)
		readers.Wait()
		got, err := nodefacts.Read(filepath.Join(r.StateDir, "node.json"))
		if err != nil || len(got.VPCCIDRs) != 1 || got.VPCCIDRs[0] != last || told.Load() != changes {
			t.Errorf("the facts have %v, %v after %d changes; want %s after %d", got.VPCCIDRs, err, told.Load(), last, changes)
		}
	})
}
