package decide

import (
	"fmt"
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	now, p := time.Unix(1e9, 0), NewPatience("i-1")
	if !p.Ends().IsZero() || p.Lasted(false, now) || p.Lasted(true, now) {
		t.Error("a surplus that has just begun has lasted")
	}
	ends := p.Ends()
	if d := ends.Sub(now); d < lasting || d >= lasting+jitter {
		t.Errorf("it has lasted after %s", d)
	}
	if p.Lasted(true, ends.Add(-1)) || !p.Lasted(true, ends) {
		t.Errorf("not lasted at %s exactly", ends)
	}
	if p.Lasted(false, ends) || p.Lasted(true, ends) {
		t.Error("a surplus that was interrupted has lasted")
	}
	if p.Lasted(true, ends.Add(-time.Hour)) || !p.Ends().Before(ends) {
		t.Error("a clock that jumps back holds the surplus for an hour")
	}
}

// The nodes of a cluster do not scale down in the same second.
func TestPatienceIsOfTheNode(t *testing.T) {
	now, seconds := time.Unix(1e9, 0), map[int]int{}
	for i := range 1000 {
		p := NewPatience(fmt.Sprintf("i-%017x", i*7919))
		p.Lasted(true, now)
		seconds[int(p.Ends().Sub(now)/time.Second)]++
	}
	for s, n := range seconds {
		if n > 100 {
			t.Errorf("%d of 1000 nodes scale down %d s after the surplus began", n, s)
		}
	}
	if len(seconds) < 20 {
		t.Errorf("spread over %d seconds only", len(seconds))
	}
}
