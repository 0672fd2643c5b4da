package install

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Daemon is vpc-ipamd.
type Daemon interface {
	// Status is nil if it could serve an ADD now; else it says why not.
	Status(ctx context.Context) error
}

// Apply carries the plan out and stops at the first error; done hears of every
// step before it is begun.
func (p Plan) Apply(ctx context.Context, d Daemon, begin func(Change)) error {
	for _, s := range p.steps {
		begin(s.change())
		if err := s.do(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (s step) do(ctx context.Context, d Daemon) error {
	var err error
	switch s.verb {
	case keep:
		// A second name, not a rename: no moment is without the plugin.
		if err = os.Link(s.path, s.path+beforeSuffix); errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case put:
		return copyFile(s.from, s.path)
	case write:
		return replace(s.path, 0o644, func(f io.Writer) error { _, err := f.Write(s.data); return err })
	case await:
		return waitFor(ctx, d, s)
	case retired:
		err = os.Rename(s.path, s.path+beforeSuffix)
	case drop:
		if err = os.Remove(s.path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	default:
		err = os.Rename(s.path+beforeSuffix, s.path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from) //nolint:gosec // in a directory that the operator named
	if err != nil {
		return fmt.Errorf("copying plugin: %w", err)
	}
	defer func() { _ = in.Close() }()
	return replace(to, 0o755, func(f io.Writer) error { _, err := io.Copy(f, in); return err })
}

// replace writes a file beside path and renames it over it: a runtime sees the
// old one or the new one, and a plugin that runs keeps the old one. The other
// name begins with a dot and has an ending that no runtime reads.
func replace(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	wrap := func(err error) error { return fmt.Errorf("writing %s: %w", path, err) }
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // holds no secret
		return wrap(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.new")
	if err != nil {
		return wrap(err)
	}
	err = fill(f)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return wrap(errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// lookEvery is the pause between two questions to the daemon.
const lookEvery = 200 * time.Millisecond

func waitFor(ctx context.Context, d Daemon, s step) error {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last error
	for {
		err := d.Status(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err // the one that says why, not that time is over
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting %s for vpc-ipamd on %s: %w; the conflist was not written: see the daemon's log, and install again", s.wait, s.path, last)
		case <-tick.C:
		}
	}
}
