package engine

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// fakeEC2 is a small EC2 with IMDS: ENIs, a subnet that can run out, the limits
// of an instance type, and time that calls take.
type fakeEC2 struct {
	mu          sync.Mutex
	limits      eni.Limits
	free        int // addresses left in the subnet
	latency     time.Duration
	enis        map[string]*fakeENI
	tokens      map[string]string // ClientToken -> what it made
	serial      int
	blocks      int // /28 that the subnet has left
	serialBlock int
	next        netip.Addr
	calls       []call
	faults      map[string][]error       // by call; each error fails one
	broken      map[string]error         // by call; fails all
	lost        map[string]bool          // by call; the next one is applied and its answer lost
	slow        map[string]time.Duration // by call; instead of latency
}

type fakeENI struct {
	eni.ENI
	attached bool
}

type call struct {
	name string
	at   time.Time
}

var errLost = fmt.Errorf("connection reset: %w", eni.ErrNoAnswer)

func newEC2(limits eni.Limits) *fakeEC2 {
	f := &fakeEC2{
		limits: limits, free: 1000, blocks: 100, latency: 100 * time.Millisecond, enis: map[string]*fakeENI{}, tokens: map[string]string{}, next: netip.MustParseAddr("10.0.0.10"),
		faults: map[string][]error{}, broken: map[string]error{}, lost: map[string]bool{},
		slow: map[string]time.Duration{},
	}
	primary := f.make(0)
	primary.attached, primary.AttachmentID = true, "attach-primary"
	return f
}

func (f *fakeEC2) make(n int) *fakeENI {
	e := &fakeENI{ENI: eni.ENI{
		ID: fmt.Sprintf("eni-%d", f.serial), MAC: fmt.Sprintf("02:00:00:00:00:%02x", f.serial),
		Subnet: netip.MustParsePrefix("10.0.0.0/16"), Primary: f.addresses(1)[0], Addresses: f.addresses(n),
	}}
	f.serial++
	f.enis[e.ID] = e
	return e
}

func (f *fakeEC2) addresses(n int) []netip.Addr {
	var out []netip.Addr
	for range n {
		out = append(out, f.next)
		f.next = f.next.Next()
	}
	f.free -= n
	return out
}

// begin is the start of a call: it takes time and may fail.
func (f *fakeEC2) begin(ctx context.Context, name string) error {
	f.mu.Lock()
	f.calls = append(f.calls, call{name, time.Now()})
	latency := cmp.Or(f.slow[name], f.latency)
	f.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(latency):
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.broken[name]; err != nil {
		return err
	}
	if errs := f.faults[name]; len(errs) > 0 {
		f.faults[name] = errs[1:]
		return errs[0]
	}
	return nil
}

// end is the way of the answer.
func (f *fakeEC2) end(name string) error {
	if f.lost[name] {
		delete(f.lost, name)
		return errLost
	}
	return nil
}

func (f *fakeEC2) Describe(ctx context.Context) ([]eni.ENI, error) {
	if err := f.begin(ctx, "Describe"); err != nil {
		return nil, err
	}
	return f.attached(), nil
}

func (f *fakeEC2) attached() []eni.ENI {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []eni.ENI
	for _, e := range f.enis {
		if e.attached {
			c := e.ENI
			c.Addresses = slices.Clone(c.Addresses)
			out = append(out, c)
		}
	}
	return out
}

func (f *fakeEC2) Create(ctx context.Context, spec eni.CreateSpec) (eni.ENI, error) {
	if err := f.begin(ctx, "Create"); err != nil {
		return eni.ENI{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if spec.Addresses+1 > f.free {
		return eni.ENI{}, eni.ErrSubnetFull
	}
	e := f.enis[f.tokens[spec.ClientToken]]
	if e == nil {
		blocks, err := f.prefixes(spec.Prefixes)
		if err != nil {
			return eni.ENI{}, err
		}
		e = f.make(spec.Addresses)
		e.Prefixes = blocks
		e.Device, e.SubnetID, e.Groups, e.Tags = -1, spec.SubnetID, spec.Groups, spec.Tags
		f.tokens[spec.ClientToken] = e.ID
	}
	if err := f.end("Create"); err != nil {
		return eni.ENI{}, err
	}
	return e.ENI, nil
}

func (f *fakeEC2) Available(ctx context.Context, tags map[string]string) ([]eni.ENI, error) {
	if err := f.begin(ctx, "Available"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []eni.ENI
	for _, e := range f.enis {
		all := !e.attached
		for k, v := range tags {
			all = all && e.Tags[k] == v
		}
		if all {
			out = append(out, e.ENI)
		}
	}
	return out, nil
}

func (f *fakeEC2) Attach(ctx context.Context, id string, card, device int) (string, error) {
	if err := f.begin(ctx, "Attach"); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, e := range f.enis {
		if e.attached && e.Card == card && e.Device == device {
			return "", fmt.Errorf("device %d is in use by %s", device, e.ID)
		}
		if e.attached {
			n++
		}
	}
	if n >= f.limits.ENIs {
		return "", eni.ErrENILimit
	}
	e := f.enis[id]
	e.attached, e.Card, e.Device, e.AttachmentID = true, card, device, "attach-"+id
	return e.AttachmentID, f.end("Attach")
}

func (f *fakeEC2) DeleteWithInstance(ctx context.Context, id, _ string) error {
	if err := f.begin(ctx, "DeleteWithInstance"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enis[id].DeleteOnTermination = true
	return f.end("DeleteWithInstance")
}

func (f *fakeEC2) Detach(ctx context.Context, attachment string) error {
	if err := f.begin(ctx, "Detach"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.enis {
		if e.attached && e.AttachmentID == attachment {
			e.attached = false
		}
	}
	return nil
}

func (f *fakeEC2) Delete(ctx context.Context, id string) error {
	if err := f.begin(ctx, "Delete"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if e, ok := f.enis[id]; ok {
		if e.attached {
			return fmt.Errorf("%s is in use", id)
		}
		f.free += 1 + len(e.Addresses)
		delete(f.enis, id)
	}
	return nil
}

func (f *fakeEC2) Assign(ctx context.Context, id string, n int) ([]netip.Addr, error) {
	if err := f.begin(ctx, "Assign"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.enis[id]
	if len(e.Addresses)+n > f.limits.Secondary() {
		return nil, eni.ErrAddressLimit
	}
	if n > f.free {
		return nil, fmt.Errorf("assigning %d: %w", n, eni.ErrSubnetFull)
	}
	addrs := f.addresses(n)
	e.Addresses = append(e.Addresses, addrs...)
	return addrs, f.end("Assign")
}

func (f *fakeEC2) Unassign(ctx context.Context, id string, addrs []netip.Addr) error {
	if err := f.begin(ctx, "Unassign"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.enis[id]
	e.Addresses = slices.DeleteFunc(e.Addresses, func(a netip.Addr) bool { return slices.Contains(addrs, a) })
	f.free += len(addrs)
	return f.end("Unassign")
}

func (f *fakeEC2) Node(ctx context.Context) (eni.Node, error) {
	if err := f.begin(ctx, "Node"); err != nil {
		return eni.Node{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	primary := f.enis["eni-0"]
	return eni.Node{
		InstanceID: "i-1", InstanceType: "t3.small", PrimaryENI: primary.ID, PrimaryMAC: primary.MAC, PrimaryIP: primary.Primary,
		SubnetID: "subnet-1", Subnet: primary.Subnet, VPCCIDRs: []netip.Prefix{primary.Subnet},
	}, nil
}

func (f *fakeEC2) ENIs(ctx context.Context) ([]eni.ENI, error) {
	if err := f.begin(ctx, "IMDS"); err != nil {
		return nil, err
	}
	return f.attached(), nil
}

func (f *fakeEC2) Limits(context.Context, string) (eni.Limits, error) { return f.limits, nil }
