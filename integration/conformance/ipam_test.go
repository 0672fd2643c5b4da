package conformance

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/spool"
)

// ask is a call of vpc-ipam first in a chain.
func (d *daemon) ask(verb, version, container, netns string) call {
	c := call{plugin: "vpc-ipam", verb: verb, version: version, container: container, conf: map[string]any{"socket": d.socket, "timeout": "5s"}}
	if netns != "" {
		c.netns = "/run/netns/" + netns
	}
	return c
}

// delegated is the same call as upstream ptp would make it.
func (c call) delegated() call {
	c.conf = map[string]any{"type": "ptp", "ipam": map[string]any{"type": "vpc-ipam", "socket": c.conf["socket"]}}
	return c
}

func TestIPAMRoundTrip(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod, d := newHost(t), newNetns(t), newDaemon(t)
		a := d.ask("ADD", v, "c1", pod)
		r := result(t, v, h.ok(a))
		if got := r.IPs[0].Address.String(); got != "10.20.11.10/32" {
			t.Errorf("address %s", got)
		}
		if len(r.Interfaces) != 1 || r.Interfaces[0].Name != "eni-0f00" || r.Interfaces[0].Sandbox != "" || *r.IPs[0].Interface != 0 {
			t.Errorf("interfaces %+v", r.Interfaces)
		}
		again := result(t, v, h.ok(a))
		if again.IPs[0].Address.String() != "10.20.11.10/32" {
			t.Errorf("the second ADD got %v", again.IPs[0].Address)
		}
		check := a.as("CHECK", r)
		h.ok(check)
		for range 3 {
			h.ok(a.as("DEL", nil))
		}
		if n := d.holds(); n != 0 {
			t.Errorf("%d addresses are held after DEL", n)
		}
		h.fails(check, 3, "10.20.11.10")
		h.fails(a.as("CHECK", nil), 7, "prevResult")
		// The namespace is gone, or was never told.
		h.ok(d.ask("ADD", v, "c2", pod))
		h.ok(d.ask("DEL", v, "c2", ""))
		if n := d.holds(); n != 0 {
			t.Errorf("%d addresses are held after DEL without a namespace", n)
		}
	})
}

func TestIPAMDelegated(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod, d := newHost(t), newNetns(t), newDaemon(t)
		a := d.ask("ADD", v, "c1", pod).delegated()
		r := result(t, v, h.ok(a))
		if len(r.Interfaces) != 0 || r.IPs[0].Interface != nil {
			t.Errorf("a delegate's result names interfaces: %+v", r)
		}
		if r.IPs[0].Address.String() != "10.20.11.10/24" || r.IPs[0].Gateway.String() != "10.20.11.1" || len(r.Routes) != 1 {
			t.Errorf("result %+v", r)
		}
		h.ok(a.as("DEL", nil))
		if n := d.holds(); n != 0 {
			t.Errorf("%d held", n)
		}
	})
}

func TestIPAMRefuses(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod, d := newHost(t), newNetns(t), newDaemon(t)
		bad := func(key string, value any) call {
			c := d.ask("ADD", v, "c1", pod)
			c.conf[key] = value
			return c
		}
		h.fails(d.ask("ADD", v, "c1", h.name), 8, "host's own")
		h.fails(d.ask("ADD", v, "c1", "none"), 8, "does not exist")
		h.fails(d.ask("ADD", v, "c1", pod).as("ADD", fromStatic(t, "10.0.0.1/24")), 7, "first plugin")
		h.fails(bad("socket", "relative"), 7, "socket", "relative")
		h.fails(bad("timeout", "soon"), 7, "timeout", "soon")
		h.fails(bad("timeout", 5), 7, "timeout")
		d.size = 0
		h.fails(d.ask("ADD", v, "c1", pod), 11, "no free address")
		if n := d.holds(); n != 0 {
			t.Errorf("refused ADDs hold %d addresses", n)
		}
	})
}

// With the daemon down ADD says so after its patience, and DEL leaves the
// release where the daemon will look.
func TestIPAMDaemonDown(t *testing.T) {
	eachVersion(t, func(t *testing.T, v string) {
		h, pod, d := newHost(t), newNetns(t), newDaemon(t)
		h.ok(d.ask("ADD", v, "c1", pod))
		d.server.Stop()
		start := time.Now()
		h.fails(d.ask("ADD", v, "c2", pod), 11, d.socket, "is it running")
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("ADD took %v to notice", took)
		}
		h.ok(d.ask("DEL", v, "c1", ""))
		h.ok(d.ask("DEL", v, "c1", ""))
		list, err := spool.List(filepath.Join(filepath.Dir(d.socket), "spool"))
		if err != nil || len(list) != 1 || list[0].Alias() != "vpc/c1/eth0" {
			t.Errorf("the spool has %v, %v", list, err)
		}
	})
}

// A daemon that is restarted while an ADD asks is asked again.
func TestIPAMDaemonRestarts(t *testing.T) {
	h, pod, d := newHost(t), newNetns(t), newDaemon(t)
	d.server.Stop()
	added := make(chan error, 1)
	go func() {
		_, err := h.run(d.ask("ADD", "1.1.0", "c1", pod))
		added <- err
	}()
	time.Sleep(300 * time.Millisecond) // the plugin is between two attempts, or not yet at its first
	d.start(t)
	if err := <-added; err != nil {
		t.Error(err)
	}
}

func TestIPAMGC(t *testing.T) {
	h, d := newHost(t), newDaemon(t)
	for _, c := range []call{d.ask("ADD", "1.1.0", "stays", newNetns(t)), d.ask("ADD", "1.1.0", "goes", newNetns(t)), d.ask("ADD", "1.1.0", "foreign", newNetns(t))} {
		if c.container == "foreign" {
			c.network = "other"
		}
		h.ok(c)
	}
	gc := d.ask("GC", "1.1.0", "", "")
	h.fails(gc, 7, "valid-attachments")
	if d.holds() != 3 {
		t.Errorf("GC without a list released something: %d held", d.holds())
	}
	gc.conf["cni.dev/valid-attachments"] = []map[string]string{{"containerID": "stays", "ifname": "eth0"}}
	h.ok(gc)
	if _, ok := d.held["vpc/stays/eth0"]; !ok || d.holds() != 2 {
		t.Errorf("after GC with a survivor: %v", d.held)
	}
	gc.conf["cni.dev/valid-attachments"] = []any{}
	h.ok(gc)
	h.ok(gc)
	if _, ok := d.held["other/foreign/eth0"]; !ok || d.holds() != 1 {
		t.Errorf("after GC with none: %v", d.held)
	}
	d.server.Stop()
	h.fails(gc, 11, d.socket)
}

// STATUS: 50 when no ADD can be served, 51 when degraded; at most a little over what
// an execution of the plugin that does nothing takes.
func TestIPAMStatus(t *testing.T) {
	h, d := newHost(t), newDaemon(t)
	status := d.ask("STATUS", "1.1.0", "", "")
	h.ok(status)
	set := func(s ipamapi.StatusReply_State, reason string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.status = &ipamapi.StatusReply{State: s, Reason: reason}
	}
	set(ipamapi.StatusReply_STATE_LIMITED, "EC2 throttles")
	h.fails(status, 51, "EC2 throttles")
	set(ipamapi.StatusReply_STATE_UNAVAILABLE, "no free address")
	h.fails(status, 50, "no free address")
	set(ipamapi.StatusReply_STATE_OK, "")

	bad := status
	bad.conf = map[string]any{"socket": "relative"} // refused before anything is dialled
	median := func(f func()) time.Duration {
		var took []time.Duration
		for range 21 {
			start := time.Now()
			f()
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	floor, whole := median(func() { h.fails(bad, 7) }), median(func() { h.ok(status) })
	t.Logf("STATUS takes %v, of which %v are starting the plugin", whole, floor)
	if whole-floor > 25*time.Millisecond { // five times the promise: this machine may be busy
		t.Errorf("STATUS takes %v longer than doing nothing", whole-floor)
	}
	d.server.Stop()
	h.fails(status, 50, d.socket, "is it running")
}

// Fifty ADDs at once get fifty addresses; no K8S_POD_* is needed.
func TestIPAMParallel(t *testing.T) {
	h, d := newHost(t), newDaemon(t)
	var mu sync.Mutex
	got := map[string]string{}
	var wg sync.WaitGroup
	for i := range 50 {
		a := d.ask("ADD", "1.1.0", fmt.Sprint("c", i), newNetns(t))
		wg.Go(func() {
			raw, err := h.run(a)
			if err != nil {
				t.Error(err)
				return
			}
			addr := result(t, "1.1.0", raw).IPs[0].Address.String()
			mu.Lock()
			defer mu.Unlock()
			if other, ok := got[addr]; ok {
				t.Errorf("%s for %s and %s", addr, other, a.container)
			}
			got[addr] = a.container
		})
	}
	wg.Wait()
}

// The example configuration of each plugin's README runs as it stands.
func TestREADMEConfigurations(t *testing.T) {
	for _, plugin := range []string{"vpc-ipam", "vpc-veth", "vpc-snat", "vpc-sgpp"} {
		raw, err := os.ReadFile(filepath.Join("../../plugins", plugin, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		blocks := jsonBlocks(string(raw))
		if len(blocks) == 0 {
			t.Errorf("%s: the README shows no configuration", plugin)
		}
		for _, b := range blocks {
			parseConf(t, plugin, b)
		}
	}
}

func jsonBlocks(md string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(md, "```json\n")
		if !ok {
			return out
		}
		block, after, _ := strings.Cut(rest, "```")
		out, md = append(out, block), after
	}
}
