package flight

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Dir is the recorder's directory in the daemon's state directory. Where a node
// is to have no recorder it is removed, until the daemon starts again.
func Dir(stateDir string) string { return filepath.Join(stateDir, "trace") }

// The files: the one that is written, and the one before it.
const (
	newest  = "trace.log"
	rotated = "trace.1.log"
)

// DefaultSize is of one of the two files, in bytes. A pod's life, an ADD and a DEL
// of four plugins, is 5 KB of records: the files hold those of 400 to 800 pods,
// and a tmpfs keeps them in memory.
const DefaultSize = 2 << 20

// Recorder writes to a directory. Several processes may at once.
type Recorder struct {
	Dir  string
	Size int64 // at which a file is rotated; 0 is DefaultSize
}

// Write adds records, if that is possible. Each is one write at the end of the
// file, which the kernel keeps in one piece.
func (r Recorder) Write(records ...Record) {
	p := r.Open()
	defer p.Close()
	for _, rec := range records {
		p.Write(rec)
	}
}

// Pen is the opened file of a recorder; without one it does nothing.
type Pen struct {
	r  Recorder
	fd int // negative: there is no file
}

// Open opens the file that is written, and makes it where its directory is there.
func (r Recorder) Open() Pen {
	// O_NONBLOCK: whatever somebody has put there, a plugin does not wait for it.
	fd, err := unix.Open(filepath.Join(r.Dir, newest), unix.O_RDWR|unix.O_APPEND|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return Pen{r, -1}
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = unix.Close(fd)
		return Pen{r, -1}
	}
	return Pen{r, fd}
}

// OK tells whether there is a file.
func (p Pen) OK() bool { return p.fd >= 0 }

// Close gives the file back.
func (p Pen) Close() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
	}
}

// Write adds a record. Behind a line that a full disk has cut it begins one of
// its own.
func (p Pen) Write(rec Record) {
	if p.fd < 0 {
		return
	}
	b := rec.Append(append(make([]byte, 0, 512), '\n'))
	if len(b) > MaxLine {
		return
	}
	if _, err := unix.Write(p.fd, b); err == nil {
		p.rotate()
	}
}

// rotate makes the file the one before, if it is full and nobody else does so. Who
// holds the lock of the file that has the name is the only one that renames it.
func (p Pen) rotate() {
	most := p.r.Size
	if most == 0 {
		most = DefaultSize
	}
	var mine, named unix.Stat_t
	if unix.Fstat(p.fd, &mine) != nil || mine.Size < most || unix.Flock(p.fd, unix.LOCK_EX|unix.LOCK_NB) != nil {
		return
	}
	defer func() { _ = unix.Flock(p.fd, unix.LOCK_UN) }()
	path := filepath.Join(p.r.Dir, newest)
	if unix.Lstat(path, &named) != nil || named.Ino != mine.Ino || named.Dev != mine.Dev {
		return
	}
	_ = unix.Rename(path, filepath.Join(p.r.Dir, rotated))
}

// Make makes the recorder's directory, for root alone: errors name pods.
func (r Recorder) Make() error { return os.MkdirAll(r.Dir, 0o700) }
