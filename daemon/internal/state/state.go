// Package state keeps on disk what a restart must not forget: who holds which
// address, and which addresses rest. Everything else is read anew from EC2,
// IMDS and the kernel.
//
// The file lies on tmpfs and is void after a reboot, as the pods are. Nothing
// is synced to a disk therefore; a killed process loses nothing, since what was
// written is in the kernel's pages.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// Store is the open file. Its lock keeps a second daemon out.
type Store struct {
	db *bbolt.DB
	// Damaged says what was wrong with the file of before and where it lies now;
	// the store began empty. "" is the usual start.
	Damaged string

	clock clock

	mu      sync.Mutex
	pending []gone // releases that could not be written yet
	trouble error  // why
}

// gone is a release.
type gone struct {
	held pool.Allocation
	at   time.Time
}

const (
	heldBucket  = "held"  // alias -> pool.Allocation
	freedBucket = "freed" // address -> time of release
)

// lockWait is how long Open waits for another daemon to let go of the file:
// one that is being stopped takes less.
const (
	lockWait  = 3 * time.Second
	lockRetry = 50 * time.Millisecond
)

// Open opens or makes the file. One that is damaged is kept beside the new one.
//
// This is the one place where damage is dealt with: the pages are looked at
// before bbolt maps them, and every record is read once before the daemon
// relies on any. Whatever is wrong, the store begins empty, Damaged says so, and
// package rebuild finds the allocations in the kernel and in EC2.
func Open(path string) (*Store, error) {
	damaged, err := setAside(path)
	if err != nil {
		return nil, refused("opening", path, err)
	}
	s, err := openAt(path)
	if err != nil {
		return nil, err
	}
	if damage := s.readable(); damage != nil {
		if err := s.Close(); err != nil {
			return nil, refused("closing", path, err)
		}
		if damaged, err = moveAside(path, damage); err != nil {
			return nil, refused("moving", path, err)
		}
		if s, err = openAt(path); err != nil {
			return nil, err
		}
	}
	if err := prepare(s.db); err != nil {
		_ = s.Close()
		return nil, refused("preparing", path, err)
	}
	s.Damaged = damaged
	return s, nil
}

func openAt(path string) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, NoSync: true, NoFreelistSync: true})
	if err != nil {
		return nil, refused("opening", path, err)
	}
	return &Store{db: db, clock: systemClock}, nil
}

func refused(doing, path string, err error) error {
	if errors.Is(err, berrors.ErrTimeout) {
		return fmt.Errorf("%s the state file %s: it is locked: does another vpc-ipamd run?", doing, path)
	}
	return fmt.Errorf("%s the state file %s: %w%s", doing, path, err, nextStep(err))
}

// readable reads every record. The recover is for what bbolt's own assertions
// find and the look at the pages did not.
func (s *Store) readable() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("bbolt: %v", r)
		}
	}()
	if fresh, err := s.fresh(); fresh || err != nil {
		return err
	}
	if _, _, err := s.Load(); err != nil {
		return err
	}
	if _, err := s.Seeded(); err != nil {
		return err
	}
	if _, err := s.Draining(); err != nil {
		return err
	}
	_, err = s.Intents()
	return err
}

// fresh tells whether the file has nothing yet. The buckets that were made
// together must be there together: the name of one may be what is damaged.
func (s *Store) fresh() (fresh bool, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		first, _ := tx.Cursor().First()
		fresh = first == nil
		if !fresh && (tx.Bucket([]byte(heldBucket)) == nil || tx.Bucket([]byte(freedBucket)) == nil) {
			return fmt.Errorf("it has the bucket %q, and not both of %s and %s", first, heldBucket, freedBucket)
		}
		return nil
	})
	return fresh, err
}

// prepare makes the buckets. A file that has them is not written to: on a full
// disk the daemon can still read who holds what.
func prepare(db *bbolt.DB) error {
	buckets := []string{heldBucket, freedBucket, intentBucket}
	missing := false
	err := db.View(func(tx *bbolt.Tx) error {
		for _, b := range buckets {
			missing = missing || tx.Bucket([]byte(b)) == nil
		}
		return nil
	})
	if err != nil || !missing {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
				return err
			}
		}
		return nil
	})
}

// nextStep says what to do about an error of the file system, or nothing.
func nextStep(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return ": free space there"
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrPermission):
		return ": make the directory writable, or name another with --state-dir"
	}
	return ""
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Load reads everything.
func (s *Store) Load() (held []pool.Allocation, freed map[netip.Addr]time.Time, err error) {
	freed = map[netip.Addr]time.Time{}
	err = s.db.View(func(tx *bbolt.Tx) error {
		if err := tx.Bucket([]byte(heldBucket)).ForEach(func(k, v []byte) error {
			var a pool.Allocation
			if err := unseal(string(k), v, &a); err != nil {
				return fmt.Errorf("allocation %s: %w", k, err)
			}
			held = append(held, a)
			return nil
		}); err != nil {
			return err
		}
		return tx.Bucket([]byte(freedBucket)).ForEach(func(k, v []byte) error {
			addr, err := netip.ParseAddr(string(k))
			if err != nil {
				return err
			}
			at, err := s.clock.time(v)
			if err != nil {
				return fmt.Errorf("release of %s: %w", addr, err)
			}
			freed[addr] = at
			return nil
		})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("reading the state: %w", err)
	}
	return held, freed, nil
}

// Hold records an allocation.
func (s *Store) Hold(a pool.Allocation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.write(func(tx *bbolt.Tx) error { return putHeld(tx, a) }); err != nil {
		return fmt.Errorf("recording %s in the state file: %w%s", a.Attachment, err, nextStep(err))
	}
	return nil
}

func putHeld(tx *bbolt.Tx, a pool.Allocation) error {
	raw, err := seal(a.Attachment.Alias(), a)
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(heldBucket)).Put([]byte(a.Attachment.Alias()), raw)
}

func (s *Store) putFreed(tx *bbolt.Tx, a netip.Addr, at time.Time) error {
	when, err := s.clock.stamp(at)
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(freedBucket)).Put([]byte(a.String()), when)
}

// Release records that the allocations ended at the time. With none given it
// writes what could not be written so far.
//
// It does not fail for a file that cannot be written: a pod that ends must not
// wait for space on a disk. The release is kept and written before anything
// else is, so that the file never has two holders of an address; Trouble tells
// of it. Should the daemon die before, the attachment is found without a trace
// in the kernel by the next one, and released again.
func (s *Store) Release(at time.Time, ended ...pool.Allocation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range ended {
		s.pending = append(s.pending, gone{a, at})
	}
	if len(s.pending) == 0 {
		return nil
	}
	err := s.write(func(*bbolt.Tx) error { return nil })
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return fmt.Errorf("recording a release: %w", err) // nobody will try again
	}
	return nil
}

// Trouble is why releases could not be written, or nil.
func (s *Store) Trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// write carries out what is pending and then the change, both or neither; the
// caller holds the lock.
func (s *Store) write(change func(*bbolt.Tx) error) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		for _, g := range s.pending {
			if err := tx.Bucket([]byte(heldBucket)).Delete([]byte(g.held.Attachment.Alias())); err != nil {
				return err
			}
			if err := s.putFreed(tx, g.held.Addr, g.at); err != nil {
				return err
			}
		}
		return change(tx)
	})
	switch {
	case err == nil:
		s.pending, s.trouble = nil, nil
	case len(s.pending) > 0:
		s.trouble = fmt.Errorf("recording %d releases in the state file: %w%s", len(s.pending), err, nextStep(err))
	}
	return err
}
