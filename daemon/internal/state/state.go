// Package state keeps on disk what a restart must not forget: who holds which
// address, and which addresses rest. Everything else is read anew from EC2,
// IMDS and the kernel.
//
// The file lies on tmpfs and is void after a reboot, as the pods are. Nothing
// is synced to a disk therefore; a killed process loses nothing, since what was
// written is in the kernel's pages.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/vpcchain/vpcchain/daemon/internal/pool"
)

// Store is the open file. Its lock keeps a second daemon out.
type Store struct {
	db *bbolt.DB
	// Damaged says what was wrong with the file of before and where it lies now;
	// the store began empty. "" is the usual start.
	Damaged string
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
func Open(path string) (*Store, error) {
	damaged, err := setAside(path)
	var db *bbolt.DB
	if err == nil {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, NoSync: true, NoFreelistSync: true})
	}
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, fmt.Errorf("opening the state file %s: it is locked: does another vpc-ipamd run?", path)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the state file %s: %w", path, err)
	}
	s := &Store{db, damaged}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range []string{heldBucket, freedBucket} {
			if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("preparing the state file %s: %w", path, err)
	}
	return s, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// Load reads everything.
func (s *Store) Load() (held []pool.Allocation, freed map[netip.Addr]time.Time, err error) {
	freed = map[netip.Addr]time.Time{}
	err = s.db.View(func(tx *bbolt.Tx) error {
		if err := tx.Bucket([]byte(heldBucket)).ForEach(func(k, v []byte) error {
			var a pool.Allocation
			if err := json.Unmarshal(v, &a); err != nil {
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
			var at time.Time
			if err := at.UnmarshalBinary(v); err != nil {
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
	raw, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("recording %s: %w", a.Attachment, err)
	}
	err = s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(heldBucket)).Put([]byte(a.Attachment.Alias()), raw) })
	if err != nil {
		return fmt.Errorf("recording %s: %w", a.Attachment, err)
	}
	return nil
}

// Release records that the allocations ended at the time.
func (s *Store) Release(at time.Time, gone ...pool.Allocation) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		when, err := at.MarshalBinary()
		if err != nil {
			return err
		}
		for _, a := range gone {
			if err := tx.Bucket([]byte(heldBucket)).Delete([]byte(a.Attachment.Alias())); err != nil {
				return err
			}
			if err := tx.Bucket([]byte(freedBucket)).Put([]byte(a.Addr.String()), when); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording a release: %w", err)
	}
	return nil
}
