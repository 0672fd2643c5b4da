package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"time"

	berrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// setAside moves a file that bbolt must not see out of the way and says why. It
// looks under bbolt's own lock: a file that a daemon has open is not touched.
func setAside(path string) (damaged string, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // lets go of the lock
	if err := lock(f); err != nil {
		return "", err
	}
	damage := check(f)
	if damage == nil {
		return "", nil
	}
	return moveAside(path, damage)
}

// moveAside keeps the file for whoever wants to know; the one before it goes.
func moveAside(path string, damage error) (string, error) {
	aside := path + ".corrupt"
	return fmt.Sprintf("%s is damaged: %s; it lies in %s", path, damage, aside), os.Rename(path, aside)
}

// lock takes the lock that bbolt will, within lockWait.
func lock(f *os.File) error {
	for deadline := time.Now().Add(lockWait); ; time.Sleep(lockRetry) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if time.Now().After(deadline) {
			return berrors.ErrTimeout
		}
	}
}

// check says what is wrong with a bbolt file; an empty one is good. Of the two
// meta pages one may be torn, by a daemon that was killed while it wrote it. bbolt
// writes all other pages before: what it maps is as long as its meta page promises.
func check(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		return err // of a directory bbolt says itself what it is
	}
	raw := make([]byte, info.Size())
	if _, err := io.ReadFull(f, raw); err != nil {
		return err
	}
	size := uint64(os.Getpagesize()) //nolint:gosec // positive
	var newest meta
	for i := range int64(2) {
		if m, err := readMeta(bytes.NewReader(raw), i*int64(os.Getpagesize())); err == nil && m.Txid >= newest.Txid {
			newest = m
		}
	}
	switch {
	case newest.Magic == 0:
		return errors.New("neither of its meta pages is valid")
	case uint64(newest.PageSize) != size:
		return fmt.Errorf("its pages have %d bytes, this machine's %d", newest.PageSize, size)
	case newest.Pages > uint64(len(raw))/size:
		return fmt.Errorf("it has %d bytes, too few for its %d pages", len(raw), newest.Pages)
	case newest.Freelist != noFreelist:
		return errors.New("it has a list of free pages, which vpc-ipamd never writes")
	}
	im := &image{raw: raw, size: size, pages: newest.Pages, seen: map[uint64]bool{}}
	return im.tree(newest.Root, true, nil, nil, 0)
}

// meta is bbolt's meta page behind the page's header, in the byte order of the machine.
type meta struct {
	Magic, Version, PageSize, Flags              uint32
	Root, Sequence, Freelist, Pages, Txid, Check uint64
}

const (
	pageHeader  = 16
	metaMagic   = 0xED0CDAED
	metaVersion = 2
)

func readMeta(r io.ReaderAt, at int64) (meta, error) {
	var m meta
	raw := make([]byte, binary.Size(m))
	if _, err := r.ReadAt(raw, at+pageHeader); err != nil {
		return meta{}, err
	}
	if _, err := binary.Decode(raw, binary.NativeEndian, &m); err != nil {
		return meta{}, err
	}
	sum := fnv.New64a()
	_, _ = sum.Write(raw[:len(raw)-binary.Size(m.Check)])
	if m.Magic != metaMagic || m.Version != metaVersion || m.Check != sum.Sum64() {
		return meta{}, berrors.ErrInvalid
	}
	return m, nil
}
