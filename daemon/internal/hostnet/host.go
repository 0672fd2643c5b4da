package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"

	"github.com/containernetworking/plugins/pkg/netlinksafe"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/procsys"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Options of New.
type Options struct {
	// StateDir is where the original sysctl values are remembered (SysctlFile).
	// Empty: they are not.
	StateDir string
}

// Host writes the kernel state of one network namespace: the one that the
// thread calling New was in. Its methods may be called from any goroutine.
type Host struct {
	ns       netns.NsHandle
	stateDir string

	sync sync.Mutex         // one Sync at a time
	nl   netlinksafe.Handle // used by Sync
	hot  netlinksafe.Handle // used by EnsureFrom, which must not wait for Sync's dumps

	wanted []byte // what WantedFile has; used by Sync
	before *done  // the last Sync; nil: none, or it has failed; used by Sync

	mu     sync.Mutex
	pinned map[rule]int // see pin
	round  int          // number of Syncs begun
}

// New opens netlink sockets in the current network namespace.
func New(o Options) (*Host, error) {
	// Sockets of this thread's namespace, rather than of a given one: entering one,
	// were it the same, needs CAP_SYS_ADMIN, which a daemon in a container lacks.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ns, err := netns.Get()
	if err != nil {
		return nil, fmt.Errorf("opening the network namespace: %w", err)
	}
	h := &Host{ns: ns, stateDir: o.StateDir, pinned: map[rule]int{}}
	if h.nl, err = netlinksafe.NewHandle(unix.NETLINK_ROUTE); err == nil {
		h.hot, err = netlinksafe.NewHandle(unix.NETLINK_ROUTE)
	}
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	return h, nil
}

// Close closes the sockets. Kernel state stays: pods keep running without the daemon.
func (h *Host) Close() {
	h.nl.Close()
	h.hot.Close()
	_ = h.ns.Close()
}

// Sync makes the kernel as desired and says what it found. It goes on after a
// failed step and joins the errors; an ENI with a failed step is not ready. An
// ENI whose link is not there yet is not ready either, without an error.
//
// Calls are to be serial, each Desired computed after the call before returned:
// a rule of EnsureFrom that a Desired does not have yet survives on that ground.
func (h *Host) Sync(ctx context.Context, d Desired) (Observed, error) {
	h.sync.Lock()
	defer h.sync.Unlock()
	h.beginRound()
	var obs Observed
	err := inNamespace(h.ns, func() error {
		k, err := observe(h.nl, d.PrimaryMAC)
		if err != nil {
			return err
		}
		h.remember(d)
		p := diff(d, k)
		obs = Observed{Primary: p.primary, ENIs: p.enis, Degraded: p.degraded, Healed: map[string]int{}}
		return h.apply(ctx, p.steps, h.heals(p.steps, k), &obs)
	})
	if h.before = nil; err == nil {
		h.before = &done{d, obs.ENIs}
	}
	return obs, err
}

// EnsureFrom makes sure that packets from src use the ENI's table: one netlink
// request. The rule being there already is success. Table main needs none. An
// address of a delegated prefix has no rule of its own: src is the prefix then.
// The source is to be in what the next Desired is computed from before the
// call; a Sync with an older Desired then leaves the rule alone.
func (h *Host) EnsureFrom(src netip.Prefix, table int) error {
	if table == vpcnet.TableMain {
		return nil
	}
	if !src.IsValid() || !src.Addr().Is4() {
		return fmt.Errorf("adding rule %d from %s: only IPv4 is supported", vpcnet.RuleFrom, src)
	}
	r := fromRule(vpcnet.RuleFrom, src.Masked(), table)
	h.pin(r)
	if err := h.hot.RuleAdd(r.toKernel()); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("adding rule %q: %w", r, err)
	}
	return nil
}

// pin protects a rule of EnsureFrom from a Sync whose Desired was computed
// before the address was given out: it stays through the Sync that runs now and
// the next one. A later Desired either has it or no longer wants it.
func (h *Host) pin(r rule) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pinned[r] = h.round + 1
}

func (h *Host) beginRound() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.round++
	for r, until := range h.pinned {
		if until < h.round {
			delete(h.pinned, r)
		}
	}
}

// delRule deletes r unless it is pinned. The lock is held over the deletion:
// a pin that comes after it finds the rule gone and adds it again.
func (h *Host) delRule(r rule) (done bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.pinned[r]; ok {
		return false, nil
	}
	return ignore(h.nl.RuleDel(r.toKernel()), unix.ENOENT)
}

// done is a Sync that left the kernel as desired.
type done struct {
	desired Desired
	enis    map[string]Link // those that are not ready have had no steps
}

// heals are those of the steps, by their words, that undo what somebody else did:
// the Sync before would have had them too, had it seen this kernel.
func (h *Host) heals(steps []step, k kernel) map[string]bool {
	if len(steps) == 0 || h.before == nil {
		return nil
	}
	out := map[string]bool{}
	for _, s := range diff(h.before.desired, k).steps {
		out[s.String()] = s.eni == "" || h.before.enis[s.eni].Ready
	}
	return out
}

// apply carries the steps out in order.
func (h *Host) apply(ctx context.Context, steps []step, heals map[string]bool, obs *Observed) error {
	var errs []error
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return errors.Join(append(errs, fmt.Errorf("repairing the kernel state: %w", err))...)
		}
		done, err := h.run(s)
		if done {
			obs.Repaired = append(obs.Repaired, s.String())
			if heals[s.String()] {
				obs.Healed[s.kind()]++
			}
		}
		if err == nil || s.passing(err) {
			continue
		}
		err = fmt.Errorf("%s: %w", s, err)
		errs = append(errs, err)
		obs.Degraded = append(obs.Degraded, err.Error())
		if l, ok := obs.ENIs[s.eni]; ok {
			l.Ready, l.Reason = false, err.Error()
			obs.ENIs[s.eni] = l
		}
	}
	return errors.Join(errs...)
}

// run carries one step out. done is false when the kernel was so already.
func (h *Host) run(s step) (done bool, err error) {
	dev := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: s.link.Name, Index: s.link.Index}}
	switch s.verb {
	case setSysctl:
		if err := rememberSysctl(h.stateDir, s.sysctl, s.was); err != nil {
			return false, err
		}
		err = procsys.Write(s.sysctl, s.value)
		return err == nil, err
	case setMTU:
		return ignore(h.nl.LinkSetMTU(dev, s.mtu))
	case setUp:
		return ignore(h.nl.LinkSetUp(dev))
	case addAddr:
		return ignore(h.nl.AddrReplace(dev, &netlink.Addr{IPNet: toIPNet(s.addr), Flags: unix.IFA_F_NOPREFIXROUTE}))
	case delAddr:
		return ignore(h.nl.AddrDel(dev, &netlink.Addr{IPNet: toIPNet(s.addr)}), unix.EADDRNOTAVAIL)
	case putRoute:
		return ignore(h.nl.RouteReplace(s.route.toKernel()))
	case delRoute:
		return ignore(h.nl.RouteDel(s.route.toKernel()), unix.ESRCH)
	case addRule:
		return ignore(h.nl.RuleAdd(s.rule.toKernel()), unix.EEXIST)
	case setDown:
		return ignore(h.nl.LinkSetDown(dev), unix.ENODEV)
	case delAlias:
		return ignore(h.nl.LinkSetAlias(dev, ""), unix.ENODEV)
	case delLink:
		return ignore(h.nl.LinkDel(dev), unix.ENODEV)
	default:
		return h.delRule(s.rule)
	}
}

// ignore turns the given errors, which say that the kernel is so already, into
// "nothing done".
func ignore(err error, benign ...unix.Errno) (done bool, _ error) {
	for _, b := range benign {
		if errors.Is(err, b) {
			return false, nil
		}
	}
	return err == nil, err
}
