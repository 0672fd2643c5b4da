// Package usage reads what a process uses of memory and processors.
package usage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage of a process.
type Usage struct {
	RSS  int // resident, KiB, pages shared with others too
	PSS  int // the same, KiB, each shared page divided by those that share it
	Peak int // the most that RSS ever was, KiB
	CPU  time.Duration
}

// Read reads the usage of a process; CPU is what it has used since its start.
func Read(pid int) (u Usage, err error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return u, err
	}
	rollup, err := os.ReadFile(dir + "smaps_rollup")
	if err != nil {
		return u, err
	}
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, err
	}
	if u.RSS, err = field(status, "VmRSS"); err == nil {
		if u.Peak, err = field(status, "VmHWM"); err == nil {
			u.PSS, err = field(rollup, "Pss")
		}
	}
	if err != nil {
		return u, err
	}
	u.CPU, err = cpu(stat)
	return u, err
}

// field is a line "name:  123 kB".
func field(text []byte, name string) (int, error) {
	for line := range bytes.Lines(text) {
		if key, value, ok := strings.Cut(string(line), ":"); ok && key == name {
			return strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		}
	}
	return 0, fmt.Errorf("no line %s", name)
}

// tick is the unit of time in /proc/PID/stat: USER_HZ is 100 on every architecture that Go runs on.
const tick = 10 * time.Millisecond

// cpu is the sum of utime and stime, the 14th and 15th field. The second one, the
// name, may have spaces and parentheses in it.
func cpu(stat []byte) (time.Duration, error) {
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("%q has no times", stat)
	}
	var sum time.Duration
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}
