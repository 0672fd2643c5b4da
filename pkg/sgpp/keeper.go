package sgpp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// kernel is what the branches of a node are made in: the host's network
// namespace, and the record of the sysctls.
type kernel interface {
	// read is one look at the kernel; routes only where they are asked for.
	read(routes bool) (state, error)
	// do carries out one step. What is so already is no error.
	do(s step) error
}

// Keeper makes, repairs and removes the branches of the node whose network
// namespace the process is in. Several may work side by side, in several
// processes: one at a time changes the kernel.
type Keeper struct {
	mu     sync.Mutex // one call at a time in this process
	kernel kernel
	lock   func(how int) (unlock func(), err error)
	close  func()
}

// Close closes the sockets.
func (k *Keeper) Close() { k.close() }

// lockFile is in the directory of the node facts.
const lockFile = "sgpp.lock"

// Open keeps its lock and its record in dir, which all users of a node share. It
// opens netlink sockets in the current network namespace.
func Open(dir string) (*Keeper, error) {
	h, err := openHost(dir)
	if err != nil {
		return nil, err
	}
	return &Keeper{kernel: h, lock: func(how int) (func(), error) { return flock(dir, how) }, close: h.nl.Close}, nil
}

// flock keeps other users of the directory out until unlock. The kernel lets go of
// it when the process dies.
func flock(dir string, how int) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // holds no secret
		return nil, fmt.Errorf("locking the branch ENIs: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600) //nolint:gosec // in our directory
	if err != nil {
		return nil, fmt.Errorf("locking the branch ENIs: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the branch ENIs: %w", err), f.Close())
	}
	if how == unix.LOCK_EX {
		_ = os.Remove(halfRecord(dir)) // of a writer that was killed: its lock is ours now
	}
	return func() { _ = f.Close() }, nil
}

// Add makes the branch and brings its host veth up. On error nothing of it is
// left. ErrNoTrunk, ErrNoVeth and ErrTaken are told apart.
func (k *Keeper) Add(b Branch, n Node) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	unlock, err := k.lock(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := k.kernel.read(false)
	if err != nil {
		return err
	}
	steps, err := planAdd(s, b, n)
	if err != nil {
		return err
	}
	for _, st := range steps {
		if err := k.kernel.do(st); err != nil {
			err = fmt.Errorf("%s: %w", st, err)
			return errors.Join(err, k.remove(Leaving{ContainerID: b.Attachment.ContainerID, IfName: b.Attachment.IfName, Branch: b}))
		}
	}
	return nil
}

// Del removes what the container's interface has of a branch; there may be none.
// It goes on after an error.
func (k *Keeper) Del(who Leaving) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	// A look without the lock, so that a pod without branch waits for nobody.
	s, err := k.kernel.read(true)
	if err != nil || len(planDel(s, who)) == 0 && !s.halfRecord {
		return err
	}
	unlock, err := k.lock(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	return k.remove(who)
}

// remove is Del under the lock.
func (k *Keeper) remove(who Leaving) error {
	s, err := k.kernel.read(true)
	if err != nil {
		return err
	}
	_, err = k.all(planDel(s, who))
	return err
}

// all carries out every step, and says those that were done.
func (k *Keeper) all(steps []step) (done []string, err error) {
	var errs []error
	for _, st := range steps {
		if err := k.kernel.do(st); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", st, err))
			continue
		}
		done = append(done, st.String())
	}
	return done, errors.Join(errs...)
}

// GC removes the branches of the network whose attachments are not valid.
func (k *Keeper) GC(network string, valid func(vpcnet.Attachment) bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	unlock, err := k.lock(unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := k.kernel.read(true)
	if err != nil {
		return err
	}
	_, err = k.all(planGC(s, network, valid))
	return err
}

// Heal repairs the branches in want whose pods are live, removes those that
// neither are wanted nor have a host veth, and keeps the node's shared state. It
// says what it changed: nothing on a node that is right. It is for the daemon,
// with every branch that it knows of.
func (k *Keeper) Heal(want []Branch, n Node) (changed []string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	// A look without the lock: nothing is wrong nearly always.
	s, err := k.kernel.read(true)
	if err != nil || len(planHeal(s, want, n)) == 0 {
		return nil, err
	}
	unlock, err := k.lock(unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s, err = k.kernel.read(true); err != nil {
		return nil, err
	}
	return k.all(planHeal(s, want, n))
}

// Check names the first difference between the kernel and what Add promised.
func (k *Keeper) Check(b Branch, n Node) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	unlock, err := k.lock(unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer unlock()
	s, err := k.kernel.read(true)
	if err != nil {
		return err
	}
	return check(s, b, n)
}

// Trunk says why the trunk ENI carries no branches, or nil.
func (k *Keeper) Trunk(mac string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.kernel.read(false)
	if err != nil {
		return err
	}
	trunk, ok := s.byMAC(mac)
	switch {
	case !ok:
		return fmt.Errorf("%w %s: see whether the trunk ENI is attached to this node", ErrNoTrunk, mac)
	case !trunk.Up:
		return fmt.Errorf("the trunk ENI's link %s is down: bring it up, or wait for vpc-ipamd to do it", trunk.Name)
	}
	return nil
}
