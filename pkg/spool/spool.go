// Package spool keeps the releases that could not be delivered: a DEL with the
// daemon down writes one file per attachment, the daemon replays them. A DEL
// thus never fails for a daemon that restarts, and no address leaks.
package spool

import (
	"crypto/sha1" //nolint:gosec // a file name, not a secret
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Dir is the default spool directory, on tmpfs as the daemon's state is.
const Dir = nodefacts.Dir + "/spool"

func file(dir string, a vpcnet.Attachment) string {
	sum := sha1.Sum([]byte(a.Alias())) //nolint:gosec // a file name
	return filepath.Join(dir, hex.EncodeToString(sum[:])+".json")
}

// Put records the release of a; again is no error. The file appears whole or
// not at all. The directory is made if need be.
func Put(dir string, a vpcnet.Attachment) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("spooling the release of %s: %w", a, err)
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("spooling the release of %s: %w", a, err)
	}
	tmp, err := os.CreateTemp(dir, ".put-*")
	if err != nil {
		return fmt.Errorf("spooling the release of %s: %w", a, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(raw)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), file(dir, a))
	}
	if err != nil {
		return fmt.Errorf("spooling the release of %s: %w", a, err)
	}
	return nil
}

// Drop forgets the release of a and tells whether there was one.
func Drop(dir string, a vpcnet.Attachment) (bool, error) {
	err := os.Remove(file(dir, a))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("dropping the spooled release of %s: %w", a, err)
	}
	return true, nil
}

// List reads the recorded releases. A file that is not one is skipped and
// reported in the error beside the others' list; no directory is an empty spool.
func List(dir string) ([]vpcnet.Attachment, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing the spool: %w", err)
	}
	var out []vpcnet.Attachment
	var errs []error
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped meanwhile
		}
		a, perr := parse(raw)
		if err == nil {
			err = perr
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("reading the spooled release %s: %w", name, err))
			continue
		}
		out = append(out, a)
	}
	return out, errors.Join(errs...)
}

func parse(raw []byte) (vpcnet.Attachment, error) {
	var a vpcnet.Attachment
	if err := json.Unmarshal(raw, &a); err != nil {
		return vpcnet.Attachment{}, err
	}
	if _, ok := vpcnet.ParseAlias(a.Alias()); !ok {
		return vpcnet.Attachment{}, fmt.Errorf("%q names no attachment", a.Alias())
	}
	return a, nil
}
