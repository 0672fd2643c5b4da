package trunking_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/ec2"
)

// What an Assign of a branch takes beside EC2's latencies, in virtual time: no
// longer than the calls that it cannot do without.
func TestTimeOfAnAssign(t *testing.T) {
	const create, associate = 500 * time.Millisecond, 500 * time.Millisecond
	took := func(f func()) time.Duration {
		start := time.Now()
		f()
		return time.Since(start)
	}
	inVPC(t, "m5.24xlarge", nil, func(w *world) {
		l := w.start()
		pass(time.Minute)
		w.sim.Fault(ec2.Fault{Action: "CreateNetworkInterface", Latency: create})
		w.sim.Fault(ec2.Fault{Action: "AssociateTrunkInterface", Latency: associate})
		w.sim.Fault(ec2.Fault{Action: "AttachNetworkInterface", Latency: 2 * time.Second})
		for _, row := range []struct {
			what   string
			f      func()
			within time.Duration
		}{
			{"the node's first: trunk and branch", func() { l.mustAdd("a", "sg-a") }, 2*create + 2*time.Second + associate + 200*time.Millisecond},
			{"with a warm branch", func() { l.mustAdd("b", "sg-a") }, 0},
			{"new groups, nothing warm", func() { l.mustAdd("c", "sg-b") }, create + associate},
			{"20 pods at once with one warm branch", func() {
				done := make(chan error)
				for i := range 20 {
					go func() {
						_, err := l.add(fmt.Sprint("burst", i), "sg-b", 20*time.Second)
						done <- err
					}()
				}
				for range 20 {
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
			}, create + associate + 4*time.Second}, // the daemon's bucket: 16 creates at once, then one a second
		} {
			pass(time.Minute) // the stock is as it is to be
			d := took(row.f)
			t.Logf("%-40s %v of at most %v", row.what, d, row.within)
			if d > row.within {
				t.Errorf("%s took %v", row.what, d)
			}
		}
	})
}
