package usage

import (
	"os"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	before, err := Read(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const more = 32 << 10 // KiB
	memory := make([]byte, more<<10)
	for i := 0; i < len(memory); i += 512 {
		memory[i] = 1
	}
	for start := before.CPU; ; { // until it has worked for so long, by the figure that is tested
		u, err := Read(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if u.CPU < start+50*time.Millisecond {
			continue
		}
		if u.RSS < before.RSS+more*9/10 || u.PSS < more || u.Peak < u.RSS*9/10 {
			t.Errorf("before %+v, with %d KiB more %+v", before, more, u)
		}
		break
	}
	if memory[0] != 1 {
		t.Error("unreachable: keeps the memory alive")
	}
}

func TestCPU(t *testing.T) {
	if got, err := cpu([]byte("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0")); err != nil || got != 1750*time.Millisecond {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "7 (x) S 1 2", "7 (x) S 1 2 3 4 5 6 7 8 9 10 a b 0 0"} {
		if got, err := cpu([]byte(bad)); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
