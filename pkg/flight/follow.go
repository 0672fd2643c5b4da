package flight

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Follower reads a recorder's records as they come, over rotations: all that is
// written while it looks at least once in the time that fills two files. It is
// for one goroutine.
type Follower struct {
	dir   string
	tails []*tailing // oldest first; files keep their order, whatever their names are
	buf   []byte
}

// tailing is an open file and how much of it was read.
type tailing struct {
	file *os.File
	info fs.FileInfo
	at   int64
}

// Follow reads the records of a directory from the oldest one, or with fresh those
// that come from now on. The directory need not be there yet.
func Follow(dir string, fresh bool) *Follower {
	f := &Follower{dir: dir, buf: make([]byte, 16*MaxLine)}
	if fresh {
		f.discover()
		for _, t := range f.tails {
			t.at = t.info.Size()
		}
	}
	return f
}

// Close gives the files back.
func (f *Follower) Close() error {
	var errs []error
	for _, t := range f.tails {
		errs = append(errs, t.file.Close())
	}
	f.tails = nil
	return errors.Join(errs...)
}

// Next are the records since the last call, in the order of the file, that is of
// their ends; none when there are none. Where a file was rotated while somebody
// had it open, that one's record may come behind later ones. It returns at most
// some 64 KB of them, so who wants all calls it until there are none. What is no
// record is skipped.
func (f *Follower) Next() ([]Record, error) {
	f.discover()
	for _, t := range f.tails {
		for {
			records, n, err := f.read(t)
			if err != nil || len(records) > 0 {
				return records, err
			}
			if n == 0 {
				break
			}
		}
	}
	f.forget()
	return nil, nil
}

// read takes whole lines, and n bytes with them.
func (f *Follower) read(t *tailing) (records []Record, n int, err error) {
	got, err := t.file.ReadAt(f.buf, t.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	raw := f.buf[:got]
	n = bytes.LastIndexByte(raw, '\n') + 1
	if n == 0 && got == len(f.buf) {
		n = got // no line is so long
	}
	t.at += int64(n)
	for l := range bytes.SplitSeq(raw[:n], []byte{'\n'}) {
		if len(l) == 0 {
			continue
		}
		if rec, err := ParseLine(l); err == nil {
			records = append(records, rec)
		}
	}
	return records, n, nil
}

// discover opens files that were not there before. What has been rotated twice
// since then is lost. The rotated file is older than the other one for sure if
// that still has its name when both are open.
func (f *Follower) discover() {
	const tries = 8
	for i := range tries {
		young, old := open(f.dir, newest), open(f.dir, rotated)
		if young != nil && !young.named(f.dir, newest) && i < tries-1 {
			young.close()
			old.close()
			continue
		}
		f.take(old)
		f.take(young)
		return
	}
}

// take keeps a file that is not known.
func (f *Follower) take(t *tailing) {
	if t == nil {
		return
	}
	if slices.ContainsFunc(f.tails, func(known *tailing) bool { return os.SameFile(known.info, t.info) }) {
		t.close()
		return
	}
	f.tails = append(f.tails, t)
}

// open opens a file of the recorder; nil: there is none.
func open(dir, name string) *tailing {
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_ = file.Close()
		return nil
	}
	return &tailing{file: file, info: info}
}

func (t *tailing) close() {
	if t != nil {
		_ = t.file.Close()
	}
}

// named tells whether the file has that name.
func (t *tailing) named(dir, name string) bool {
	info, err := os.Lstat(filepath.Join(dir, name))
	return err == nil && os.SameFile(info, t.info)
}

// forget closes files that have no name any more. They were read to their ends.
func (f *Follower) forget() {
	f.tails = slices.DeleteFunc(f.tails, func(t *tailing) bool {
		if t.named(f.dir, newest) || t.named(f.dir, rotated) {
			return false
		}
		t.close()
		return true
	})
}

// Read are all the records of a directory, in the order of their ends; none where
// there is no recorder.
func Read(dir string) ([]Record, error) {
	if _, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f := Follow(dir, false)
	var all []Record
	for {
		records, err := f.Next()
		if len(records) == 0 || err != nil {
			return all, errors.Join(err, f.Close())
		}
		all = append(all, records...)
	}
}
