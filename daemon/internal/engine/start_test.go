package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/config"
	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/spool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func TestRestartKeepsHoldsAndRests(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, MaxENI: 1, Cooldown: 30 * time.Second}, func(t *testing.T, r *rig) {
		r.start()
		a, b, freed := r.mustAssign("a"), r.mustAssign("b"), r.mustAssign("freed")
		pass(time.Second)
		r.mustRelease("freed")
		r.stop()

		r.start() // takes 5 of the 30 seconds
		r.wantCounts("1/2/1/1")
		if got := []string{r.mustAssign("a"), r.mustAssign("b")}; got[0] != a || got[1] != b {
			t.Errorf("after the restart they hold %v, before %s and %s", got, a, b)
		}
		if got := r.mustAssign("c"); got == freed {
			t.Errorf("%s rests and was given out", freed)
		}
		if got, err := r.assign("d", time.Minute); got != freed {
			t.Errorf("got %s, %v; want %s when it has rested", got, err, freed)
		}
		// Pods that run keep their routes although nobody asks for them again.
		veth := vpcnet.HostVethName("eni", "ns", "b", "b", "eth0")
		found := false
		for _, p := range r.host.last().Pods {
			found = found || p == hostnet.Pod{Addr: netip.MustParseAddr(b), HostVeth: veth}
		}
		if !found {
			t.Errorf("no route to %s among %+v", b, r.host.last().Pods)
		}
	})
}

// An ENI that somebody deleted meanwhile takes its pods' addresses along.
func TestRestartWithoutTheENI(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		for i := range 5 {
			r.mustAssign(fmt.Sprint(i))
		}
		lost := r.held(att("4"))
		r.stop()
		r.ec2.set(func() { delete(r.ec2.enis, lost.ENI) })
		r.start()
		if s := r.View().Pool; len(s.Lost) != 1 || s.Lost[0].Addr != lost.Addr {
			t.Errorf("lost: %+v", s.Lost)
		}
		wantError(t, r.Check(att("4"), lost.Addr.String()), lost.ENI, "not attached")
		_, err := r.assign("4", time.Second)
		wantError(t, err, lost.Addr.String(), lost.ENI, "gone")
		r.mustRelease("4")
		if got := r.mustAssign("4"); got == lost.Addr.String() {
			t.Errorf("got the lost address %s", got)
		}
	})
}

func TestStartWaitsForIMDS(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.ec2.broken["Node"] = errors.New("IMDS does not answer")
		r.Engine = New(r.deps)
		r.wantStatus(Unavailable, "starting")
		started := make(chan error, 1)
		go func() { started <- r.Start(t.Context()) }()
		pass(time.Minute)
		r.wantStatus(Unavailable, "vpc-ipamd is starting", "IMDS does not answer")
		if n := len(r.ec2.times("Node")); n < 4 || n > 12 {
			t.Errorf("IMDS was asked %d times in a minute", n)
		}
		r.ec2.set(func() { delete(r.ec2.broken, "Node") })
		pass(2 * time.Minute)
		if err := <-started; err != nil {
			t.Error(err)
		}
		r.wantStatus(OK)
	})
}

func TestStartEndsWithItsContext(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.ec2.broken["Node"] = errors.New("IMDS does not answer")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		begin := time.Now()
		wantError(t, New(r.deps).Start(ctx), "discovering the node", "IMDS does not answer")
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("Start returned after %s", took)
		}
	})
}

func TestStartRefuses(t *testing.T) {
	twice := map[vpcnet.Attachment]pool.Allocation{}
	for _, id := range []string{"a", "b"} {
		twice[att(id)] = pool.Allocation{Attachment: att(id), Addr: netip.MustParseAddr("10.0.0.77")}
	}
	for _, tc := range []struct {
		name   string
		before func(r *rig)
		want   string
	}{
		{"unreadable state", func(r *rig) { r.store.set(errors.New("the state is damaged")) }, "damaged"},
		{"an address held twice", func(r *rig) { r.store.held = twice }, "10.0.0.77"},
		{"no primary ENI", func(r *rig) { r.ec2.enis["eni-0"].Device = 1 }, "no primary ENI"},
		{"no state directory", func(r *rig) { r.deps.StateDir = "/nonexistent/dir" }, "/nonexistent/dir"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
				tc.before(r)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				wantError(t, New(r.deps).Start(ctx), tc.want)
			})
		})
	}
}

// A node whose EC2 access fails serves what IMDS says it has.
func TestStartWithoutEC2(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 2, MaxENI: 1}, func(t *testing.T, r *rig) {
		r.start()
		a := r.mustAssign("a")
		r.stop()
		for _, call := range []string{"Describe", "Assign", "Create"} {
			r.ec2.broken[call] = eni.ErrUnauthorized
		}
		r.start()
		r.wantStatus(Limited, "not allowed by IAM", "give the node's role")
		if got := r.mustAssign("a"); got != a {
			t.Errorf("a has %s, it had %s", got, a)
		}
		r.mustAssign("b")
		r.ec2.set(func() { r.ec2.broken = map[string]error{} })
		pass(3 * time.Minute)
		r.wantStatus(OK)
	})
}

func TestFactsOfTheNode(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		got, err := nodefacts.Read(filepath.Join(r.StateDir, "node.json"))
		if err != nil {
			t.Fatal(err)
		}
		if got.InstanceID != "i-1" || got.PrimaryIP != netip.MustParseAddr("10.0.0.10") || got.PrimaryLink != "eth0" ||
			got.PrimaryMTU != 9001 || got.VethPrefix != "eni" || len(got.VPCCIDRs) != 1 {
			t.Errorf("node.json has %+v", got)
		}
	})
}

func (r *rig) spool(id string) {
	r.t.Helper()
	if err := spool.Put(r.spoolDir(), att(id)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) wantSpooled(n int) {
	r.t.Helper()
	list, err := spool.List(r.spoolDir())
	if err != nil || len(list) != n {
		r.t.Errorf("the spool has %v, %v; want %d", list, err, n)
	}
}

func TestSpoolReplay(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1, Cooldown: time.Hour}, func(t *testing.T, r *rig) {
		r.start()
		for _, id := range []string{"at start", "at tick", "reborn"} {
			r.mustAssign(id)
		}
		r.stop()
		r.spool("at start")
		r.spool("never heard of")
		r.start()
		r.wantSpooled(0)
		if r.held(att("at start")).Addr.IsValid() {
			t.Error("the release of the time without daemon was not replayed")
		}
		r.spool("at tick")
		r.spool("reborn")
		reborn := r.mustAssign("reborn")
		pass(time.Minute)
		r.wantSpooled(0)
		if r.held(att("at tick")).Addr.IsValid() {
			t.Error("a release that was spooled while the daemon ran was not replayed")
		}
		if r.held(att("reborn")).Addr.String() != reborn {
			t.Error("a spooled release took the address of the attachment's next life")
		}
	})
}

// What cannot be carried out now, or read at all, must not stop the rest.
func TestSpoolReplayGoesOn(t *testing.T) {
	inBubble(t, config.Config{WarmIP: 1}, func(t *testing.T, r *rig) {
		r.start()
		r.mustAssign("a")
		r.spool("a")
		if err := os.WriteFile(filepath.Join(r.spoolDir(), "0.json"), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.store.set(errors.New("no space left on device"))
		pass(time.Minute)
		if !r.held(att("a")).Addr.IsValid() {
			t.Error("released without a record")
		}
		r.store.set(nil)
		pass(time.Minute)
		if r.held(att("a")).Addr.IsValid() {
			t.Error("not released when the record could be written")
		}
		synctest.Wait()
	})
}
