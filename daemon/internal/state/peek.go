package state

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// ErrInUse is a file that a daemon has open.
var ErrInUse = errors.New("a vpc-ipamd has it open")

// Peek reads who holds what without changing the file, as long as no daemon has it
// open. It shares the lock for that moment: a daemon that starts meanwhile waits.
func Peek(path string) (held []pool.Allocation, branches []branch.Branch, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }() // lets go of the lock
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, nil, refused("reading", path, err)
	}
	if damage := check(f); damage != nil {
		return nil, nil, fmt.Errorf("reading the state file %s: it is damaged: %w", path, damage)
	}
	if info, err := f.Stat(); err != nil || info.Size() == 0 {
		return nil, nil, err // of a daemon that was killed as it began
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return nil, nil, refused("reading", path, err)
	}
	s := &Store{db: db, clock: systemClock}
	defer func() { err = errors.Join(err, s.Close()) }()
	if damage := s.readable(); damage != nil {
		return nil, nil, fmt.Errorf("reading the state file %s: it is damaged: %w", path, damage)
	}
	if fresh, err := s.fresh(); fresh || err != nil {
		return nil, nil, err
	}
	if held, _, err = s.Load(); err != nil {
		return nil, nil, err
	}
	branches, _, _, err = s.Branches()
	return held, branches, err
}
