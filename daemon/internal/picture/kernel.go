package picture

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/engine"
	"github.com/vpcchain/vpcchain/daemon/internal/explain"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Kernel explains from the kernel of the node. It reads it once a second at most,
// once at a time, whoever asks: a reading lists links, rules, routes and the
// chains of iptables, which on a full node takes some tens of milliseconds.
type Kernel struct {
	read func() (explain.Snapshot, error)

	mu   sync.Mutex
	last *reading
}

// reading is a look at the kernel, under way until done is closed.
type reading struct {
	done  chan struct{}
	ended time.Time
	s     explain.Snapshot
	err   error
}

// fresh is how long what was read is used again.
const fresh = time.Second

// NewKernel reads the kernel by read, which takes as long as it takes.
func NewKernel(read func() (explain.Snapshot, error)) *Kernel { return &Kernel{read: read} }

// Explain is the text of vpcctl explain.
func (k *Kernel) Explain(ctx context.Context, v engine.View, src, dst, port string) (string, error) {
	r := k.reading(time.Now())
	select {
	case <-r.done:
	case <-ctx.Done():
		return "", errors.New("reading the kernel takes longer than usual: ask again")
	}
	if r.err != nil {
		return "", fmt.Errorf("reading the kernel: %w", r.err)
	}
	s := r.s
	s.ENIs, s.Branches = enisOf(v)
	q := explain.Question{}
	var err error
	if q.Src, err = s.End(src); err != nil {
		return "", err
	}
	if q.Dst, err = s.End(dst); err != nil {
		return "", err
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return "", fmt.Errorf("the port %q is no number from 0 to 65535", port)
		}
		q.Port = uint16(n)
	}
	return explain.Explain(s, q).String(), nil
}

// reading is the last one if it is under way or fresh, else a new one.
func (k *Kernel) reading(now time.Time) *reading {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.last; r != nil {
		select {
		case <-r.done:
			if now.Sub(r.ended) < fresh {
				return r
			}
		default:
			return r
		}
	}
	r := &reading{done: make(chan struct{})}
	k.last = r
	go func() {
		r.s, r.err = k.read()
		r.ended = time.Now()
		close(r.done)
	}()
	return r
}

// enisOf is the daemon's state in the form of package explain.
func enisOf(v engine.View) ([]explain.ENI, []explain.Branch) {
	var enis []explain.ENI
	for _, e := range v.Pool.ENIs {
		out := explain.ENI{ID: e.ID, MAC: e.MAC, Device: e.Device, Addresses: []netip.Addr{e.Primary}, Pods: map[netip.Addr]explain.Pod{}}
		for _, a := range e.Slots {
			out.Addresses = append(out.Addresses, a.Addr)
			if a.Holder != nil {
				out.Pods[a.Addr] = explainedPod(*a.Holder)
			}
		}
		enis = append(enis, out)
	}
	if v.Branches == nil {
		return enis, nil
	}
	var branches []explain.Branch
	for _, b := range v.Branches.Branches {
		out := explain.Branch{ID: b.ENI, Link: vpcnet.BranchLink(b.VLAN), Addr: b.Addr}
		if !b.Announced {
			out.Groups = b.Kind.List()
		}
		branches = append(branches, out)
	}
	return enis, branches
}

func explainedPod(h pool.Allocation) explain.Pod {
	p := explain.Pod{Attachment: h.Attachment}
	if h.Pod.Name != "" {
		p.Name = h.Pod.Namespace + "/" + h.Pod.Name
	}
	return p
}
