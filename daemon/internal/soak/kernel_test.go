package soak

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// kernel is the node's kernel: it outlives every daemon. Links come when EC2
// attaches an ENI, or some time later, and go when it is detached; pods' veths
// are the runtime's.
type kernel struct {
	mu     sync.Mutex
	delay  time.Duration        // of links that come from now on
	links  map[string]time.Time // MAC -> when the link is there
	device map[string]int       // MAC -> device index
	rules  map[netip.Prefix]int // sources -> table
	pinned map[netip.Prefix]int // rules of EnsureFrom -> last Sync that leaves them alone
	round  int
	veths  map[vpcnet.Attachment]hostnet.Found
	routes map[netip.Addr]string // pod routes -> host veth
	news   []chan struct{}

	changed time.Time // when EC2 changed last
	changes int
}

func newKernel() *kernel {
	return &kernel{
		links: map[string]time.Time{}, device: map[string]int{}, rules: map[netip.Prefix]int{}, pinned: map[netip.Prefix]int{},
		veths: map[vpcnet.Attachment]hostnet.Found{}, routes: map[netip.Addr]string{},
	}
}

// plug follows EC2's attachments.
func (k *kernel) plug(v network.VPC) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changed = time.Now()
	k.changes++
	there := map[string]bool{}
	for _, p := range v.Ports {
		if p.Host != nodeName {
			continue
		}
		there[p.MAC] = true
		if _, ok := k.links[p.MAC]; ok {
			continue
		}
		wait := k.delay
		if p.Device == 0 {
			wait = 0
		}
		k.links[p.MAC], k.device[p.MAC] = time.Now().Add(wait), p.Device
		time.AfterFunc(wait, k.tell)
	}
	for mac := range k.links {
		if !there[mac] {
			// With its link go the routes of the table; the rules stay.
			delete(k.links, mac)
			time.AfterFunc(0, k.tell)
		}
	}
	return nil
}

// tell is the kernel's news to whoever watches.
func (k *kernel) tell() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.news {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (k *kernel) up(mac string) bool {
	at, ok := k.links[mac]
	return ok && !time.Now().Before(at)
}

func (k *kernel) sync(d hostnet.Desired) hostnet.Observed {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.round++
	maps.DeleteFunc(k.pinned, func(_ netip.Prefix, until int) bool { return until < k.round })
	obs := hostnet.Observed{Primary: k.link(d.PrimaryMAC, d.MTU), ENIs: map[string]hostnet.Link{}}
	for _, e := range d.ENIs {
		obs.ENIs[e.ID] = k.link(e.MAC, d.MTU)
	}
	wanted := map[netip.Prefix]int{}
	for _, f := range d.From {
		if f.Table != vpcnet.TableMain {
			wanted[f.Prefix] = f.Table
		}
	}
	for p, table := range wanted {
		if k.rules[p] != table {
			k.rules[p] = table
			obs.Repaired = append(obs.Repaired, "rule from "+p.String())
		}
	}
	for p := range k.rules {
		if _, ok := wanted[p]; !ok && k.pinned[p] == 0 {
			delete(k.rules, p)
		}
	}
	pods := map[netip.Addr]string{}
	for _, p := range d.Pods {
		for _, v := range k.veths {
			if v.HostVeth == p.HostVeth {
				pods[p.Addr] = p.HostVeth // a pod that the runtime has taken away has no veth to route to
			}
		}
	}
	k.routes = pods
	return obs
}

func (k *kernel) link(mac string, mtu int) hostnet.Link {
	if !k.up(mac) {
		return hostnet.Link{Reason: "its link is not there yet"}
	}
	return hostnet.Link{Name: fmt.Sprintf("eth%d", k.device[mac]), Index: k.device[mac] + 2, MTU: mtu, Ready: true}
}

// tableOf is where packets from the address go: the narrowest rule decides.
func (k *kernel) tableOf(a netip.Addr) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	table, bits := vpcnet.TableMain, -1
	for p, t := range k.rules {
		if p.Contains(a) && p.Bits() > bits {
			table, bits = t, p.Bits()
		}
	}
	return table
}

func (k *kernel) found() []hostnet.Found {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.SortedFunc(maps.Values(k.veths), func(a, b hostnet.Found) int { return a.Addr.Compare(b.Addr) })
}

func (k *kernel) addVeth(f hostnet.Found) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.veths[f.Attachment] = f
}

func (k *kernel) delVeth(a vpcnet.Attachment) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.veths, a)
}

// host is one daemon's hands on the kernel; a dead daemon has none.
type host struct {
	*kernel
	p *process
}

// syncTakes is how long the kernel is read and written, about what it is for a
// few hundred objects.
const syncTakes = 3 * time.Millisecond

func (h host) Sync(ctx context.Context, d hostnet.Desired) (hostnet.Observed, error) {
	if err := h.p.sleep(ctx, syncTakes); err != nil {
		return hostnet.Observed{}, err
	}
	return h.sync(d), nil
}

func (h host) EnsureFrom(src netip.Prefix, table int) error {
	if h.p.dead() {
		return errKilled
	}
	if table == vpcnet.TableMain {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rules[src], h.pinned[src] = table, h.round+2
	return nil
}

func (h host) Watch(context.Context) (<-chan struct{}, error) {
	c := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.news = append(h.news, c)
	return c, nil
}

// Attachments are the pods' interfaces as the kernel knows them.
func (h host) Attachments(context.Context) ([]hostnet.Found, error) {
	if h.p.dead() {
		return nil, errKilled
	}
	return h.found(), nil
}
