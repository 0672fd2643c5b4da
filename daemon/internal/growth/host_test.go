package growth

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/hostnet"
	"github.com/vpcchain/vpcchain/integration/vpcsim/network"
)

// syncTakes is how long the kernel is read and written.
const syncTakes = 3 * time.Millisecond

// host is the node's kernel as far as links go: that of an ENI is there some time
// after EC2 has attached it.
type host struct {
	link time.Duration
	news chan struct{}

	mu sync.Mutex
	up map[string]time.Time // MAC -> when its link is there
}

func newHost(link time.Duration) *host {
	return &host{link: link, news: make(chan struct{}, 1), up: map[string]time.Time{}}
}

// plug follows EC2's attachments. EC2 answers an attach half of its latency after
// this, and a link counts from the answer.
func (h *host) plug(v network.VPC) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range v.Ports {
		if _, known := h.up[p.MAC]; known {
			continue
		}
		wait := h.link + latencies().Attach/2
		if p.Device == 0 {
			wait = 0
		}
		h.up[p.MAC] = time.Now().Add(wait)
		time.AfterFunc(wait, func() {
			select {
			case h.news <- struct{}{}:
			default:
			}
		})
	}
	return nil
}

func (h *host) Sync(_ context.Context, d hostnet.Desired) (hostnet.Observed, error) {
	time.Sleep(syncTakes)
	h.mu.Lock()
	defer h.mu.Unlock()
	obs := hostnet.Observed{Primary: hostnet.Link{Name: "eth0", MTU: d.MTU, Ready: true}, ENIs: map[string]hostnet.Link{}}
	for _, e := range d.ENIs {
		l := hostnet.Link{Reason: "its link is not there yet"}
		if at, ok := h.up[e.MAC]; ok && !at.After(time.Now()) {
			l = hostnet.Link{Name: fmt.Sprintf("eth%d", e.Device), Index: e.Device + 2, MTU: d.MTU, Ready: true}
		}
		obs.ENIs[e.ID] = l
	}
	return obs, nil
}

func (h *host) EnsureFrom(netip.Prefix, int) error { return nil }

func (h *host) Watch(context.Context) (<-chan struct{}, error) { return h.news, nil }
