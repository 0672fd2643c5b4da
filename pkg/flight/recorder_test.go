package flight

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process of the race writes so many records and ends.
const raceEnv = "VPCCHAIN_FLIGHT_RACE"

func TestMain(m *testing.M) {
	if job := os.Getenv(raceEnv); job != "" {
		os.Exit(race(job))
	}
	os.Exit(m.Run())
}

// race writes records as plugins do: two for each time the file is opened.
func race(job string) int {
	parts := strings.Split(job, ",")
	n, _ := strconv.Atoi(parts[1])
	size, _ := strconv.ParseInt(parts[2], 10, 64)
	r := Recorder{Dir: parts[0], Size: size}
	for i := 0; i < n; i += 2 {
		p := r.Open()
		for j := range 2 {
			p.Write(Record{Traceparent: New(), Kind: Plugin, Name: parts[3], Start: time.Now(), Attempts: i + j + 1, Text: strings.Repeat("x", i%150)})
		}
		p.Close()
	}
	return 0
}

func racers(t *testing.T, dir string, processes, records int, size int64) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var all []*exec.Cmd
	for i := range processes {
		c := exec.CommandContext(t.Context(), self)
		c.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%d,%d,p%d", raceEnv, dir, records, size, i))
		c.Stderr = os.Stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	for _, c := range all {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// Without a rotation every record of every process is there, whole.
func TestProcessesWriteWholeLines(t *testing.T) {
	dir := t.TempDir()
	const processes, records = 8, 500
	racers(t, dir, processes, records, 1<<30)
	all, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]int{}
	for _, r := range all {
		if r.Attempts != last[r.Name]+1 {
			t.Fatalf("%s: record %d follows %d", r.Name, r.Attempts, last[r.Name])
		}
		last[r.Name] = r.Attempts
	}
	if len(all) != processes*records {
		t.Errorf("%d records, want %d", len(all), processes*records)
	}
}

// Whoever rotates, two files stay below their bound, no line is torn, and who
// follows sees none twice.
func TestProcessesRotate(t *testing.T) {
	dir := t.TempDir()
	const processes, records, size = 8, 2000, 256 << 10
	f := Follow(dir, false)
	defer func() { _ = f.Close() }()
	twice, seen := map[string]bool{}, 0
	take := func() int {
		all, err := f.Next()
		if err != nil {
			t.Error(err)
		}
		for _, r := range all {
			id := fmt.Sprint(r.Name, r.Attempts)
			if twice[id] {
				t.Errorf("record %d of %s came twice", r.Attempts, r.Name)
			}
			twice[id] = true
		}
		seen += len(all)
		return len(all)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		racers(t, dir, processes, records, size)
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		take()
	}
	for take() > 0 {
	}
	t.Logf("%d of %d records were seen on the way", seen, processes*records)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var bytes int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.FieldsFuncSeq(string(raw), func(c rune) bool { return c == '\n' }) {
			if _, err := ParseLine([]byte(l)); err != nil {
				t.Errorf("%s has %q: %v", e.Name(), l, err)
			}
		}
	}
	// Each process may have the file open still when it is rotated, and add what it writes meanwhile.
	if most := int64(2 * (size + processes*2*MaxLine)); len(entries) > 2 || bytes > most {
		t.Errorf("%d files with %d bytes, more than %d", len(entries), bytes, most)
	}
}

// Who looks often enough sees every record, over any number of rotations.
func TestFollowOverRotations(t *testing.T) {
	r := Recorder{Dir: filepath.Join(t.TempDir(), "later"), Size: 8 << 10}
	f := Follow(r.Dir, false)
	defer func() { _ = f.Close() }()
	if all, err := f.Next(); len(all) != 0 || err != nil {
		t.Fatalf("before there is a recorder: %v, %v", all, err)
	}
	if err := r.Make(); err != nil {
		t.Fatal(err)
	}
	slow := r.Open() // that of a plugin which has the file open for long
	seen := 0
	const records = 1000
	for i := range records {
		if i%20 == 19 {
			slow.Write(Record{Traceparent: New(), Kind: Plugin, Name: "slow", Start: time.Now(), Attempts: i + 1})
			slow.Close()
			slow = r.Open()
		} else {
			r.Write(Record{Traceparent: New(), Kind: Plugin, Name: "fast", Start: time.Now(), Attempts: i + 1})
		}
		if i%13 != 0 && i != records-1 {
			continue
		}
		for {
			all, err := f.Next()
			if err != nil {
				t.Fatal(err)
			}
			if seen += len(all); len(all) == 0 {
				break
			}
		}
		if seen != i+1 {
			t.Fatalf("%d records were seen of %d", seen, i+1)
		}
		if len(f.tails) > 2 {
			t.Fatalf("%d files are held open", len(f.tails))
		}
	}
	slow.Close()
}

// asNobody gives the directory to nobody, and has the rest of the test meet file
// systems as nobody: root writes everywhere.
func asNobody(t *testing.T, dir string) {
	t.Helper()
	const nobody = 65534
	if err := errors.Join(os.Chown(dir, nobody, nobody), os.Chmod(filepath.Dir(filepath.Dir(dir)), 0o755)); err != nil { //nolint:gosec // on the way there
		t.Fatal(err)
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test's goroutine
	if _, err := unix.SetfsuidRetUid(nobody); err != nil {
		t.Fatal(err)
	}
}

// What is wrong with the directory costs the record and nothing else.
func TestNowhereToWrite(t *testing.T) {
	rec := Record{Traceparent: New(), Kind: Plugin, Name: "vpc-veth", Start: time.Now()}
	base := t.TempDir()
	for name, prepare := range map[string]func(dir string) error{
		"missing":   func(string) error { return nil },
		"a file":    func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"a pipe":    func(dir string) error { return pathIn(dir, func(p string) error { return syscall.Mkfifo(p, 0o600) }) },
		"a link":    func(dir string) error { return pathIn(dir, func(p string) error { return os.Symlink("/dev/full", p) }) },
		"a dir":     func(dir string) error { return pathIn(dir, func(p string) error { return os.Mkdir(p, 0o700) }) },
		"no access": func(dir string) error { return os.Mkdir(dir, 0o500) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(base, name)
			if err := prepare(dir); err != nil {
				t.Fatal(err)
			}
			if name == "no access" && os.Geteuid() == 0 {
				asNobody(t, dir)
			}
			r := Recorder{Dir: dir}
			r.Write(rec)
			if _, ok := r.Open().Find(rec.Attachment, "ADD", "vpc-snat", time.Now()); ok {
				t.Error("a trace was found")
			}
			if all, err := Read(dir); len(all) != 0 || err != nil && name != "a file" {
				t.Errorf("read: %v, %v", all, err)
			}
		})
	}
}

func pathIn(dir string, put func(string) error) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return put(filepath.Join(dir, newest))
}

// A line that a full disk has cut costs itself, not the next one.
func TestTornLine(t *testing.T) {
	r := Recorder{Dir: t.TempDir()}
	first := Record{Traceparent: New(), Kind: Plugin, Name: "first", Start: time.Now()}
	r.Write(first)
	path := filepath.Join(r.Dir, newest)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(raw, raw[:40]...), 0o600); err != nil {
		t.Fatal(err)
	}
	second := Record{Traceparent: New(), Kind: Plugin, Name: "second", Start: time.Now()}
	r.Write(second)
	all, err := Read(r.Dir)
	if err != nil || len(all) != 2 || all[0].Span != first.Span || all[1].Span != second.Span {
		t.Errorf("read %v, %v", all, err)
	}
}

func TestFollowFresh(t *testing.T) {
	r := Recorder{Dir: t.TempDir()}
	r.Write(Record{Traceparent: New(), Kind: Plugin, Name: "old", Start: time.Now()})
	f := Follow(r.Dir, true)
	r.Write(Record{Traceparent: New(), Kind: Plugin, Name: "new", Start: time.Now()})
	all, err := f.Next()
	if err != nil || len(all) != 1 || all[0].Name != "new" {
		t.Errorf("%v, %v", all, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
