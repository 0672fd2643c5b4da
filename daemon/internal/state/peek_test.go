package state

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/branch"
)

// Whoever peeks sees what a daemon that is gone has written, changes nothing, and
// stays away from one that runs and from what is damaged.
func TestPeek(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	if _, _, err := Peek(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if held, _, err := Peek(path); err != nil || len(held) > 0 {
		t.Errorf("an empty file: %v, %v", held, err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	a := hold("c", "10.0.0.9")
	if err := errors.Join(s.Hold(a), s.PutBranches(branch.Branch{Key: "k", ENI: "eni-b", VLAN: 7, Freed: time.Now()})); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Peek(path); !errors.Is(err, ErrInUse) {
		t.Errorf("beside a daemon: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	held, branches, err := Peek(path)
	if err != nil || len(held) != 1 || held[0].Attachment != a.Attachment || len(branches) != 1 || branches[0].VLAN != 7 {
		t.Errorf("%v, %v, %v", held, branches, err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed, %v", err)
	}
	if err := os.WriteFile(path, append([]byte("torn"), before[4:200]...), 0o600); err != nil {
		t.Fatal(err)
	}
	if held, _, err := Peek(path); err == nil || len(held) > 0 {
		t.Errorf("a damaged file has %v", held)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("it was moved: %v", err)
	}
}
