package state

import (
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

// setAside moves a file that bbolt must not map out of the way and says why. bbolt maps what the meta page promises without a look at the
// file's size, and a page that is not there kills the process with SIGBUS. It
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

// check says what is wrong with a bbolt file; an empty one is good. Pages behind
// the meta pages are not read: bbolt writes them first. Of the two meta pages one may be torn, by a daemon that was killed while it wrote it.
func check(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 || !info.Mode().IsRegular() {
		return err // of a directory bbolt says itself what it is
	}
	page := int64(os.Getpagesize())
	var newest meta
	for i := range int64(2) {
		if m, err := readMeta(f, i*page); err == nil && m.Txid >= newest.Txid {
			newest = m
		}
	}
	switch {
	case newest.Magic == 0:
		return errors.New("neither of its meta pages is valid")
	case int64(newest.PageSize) != page:
		return fmt.Errorf("its pages have %d bytes, this machine's %d", newest.PageSize, page)
	case newest.Pages > uint64(info.Size()/page):
		return fmt.Errorf("it has %d bytes, too few for its %d pages", info.Size(), newest.Pages)
	}
	return nil
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
