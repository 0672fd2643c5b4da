package fleet

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// attempt is one request to EC2.
type attempt struct {
	api        string
	invocation string // the SDK's id of the call that it is an attempt of
	again      bool   // not the first attempt
	begin      time.Time
	end        time.Time
	throttled  bool
	failed     bool
	unanswered bool
}

// callLog are the requests of a node.
type callLog struct {
	mu  sync.Mutex
	all []*attempt
}

func (l *callLog) begin(r *http.Request) *attempt {
	a := &attempt{api: action(r), invocation: r.Header.Get("Amz-Sdk-Invocation-Id"), begin: time.Now()}
	a.again = !strings.HasPrefix(r.Header.Get("Amz-Sdk-Request"), "attempt=1")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, a)
	return a
}

func (l *callLog) end(a *attempt, r *http.Response) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.end = time.Now()
	a.unanswered = r == nil
	a.failed = r == nil || r.StatusCode != http.StatusOK
	a.throttled = r != nil && r.StatusCode == http.StatusServiceUnavailable
}

func (l *callLog) snapshot() []attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []attempt
	for _, a := range l.all {
		out = append(out, *a)
	}
	return out
}

func (l *callLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = nil
}

// action reads the API's name and leaves the request as it was.
func action(r *http.Request) string {
	if r.Body == nil {
		return ""
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	_ = r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(raw))
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return ""
	}
	return form.Get("Action")
}

// traffic is how many requests the region sees in each second.
type traffic struct {
	mu    sync.Mutex
	per   map[int64]int
	total int // since the beginning
}

func (t *traffic) count(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.per == nil {
		t.per = map[int64]int{}
	}
	t.per[now.Unix()]++
	t.total++
}

func (t *traffic) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.per = nil
}

// peak is the most that came within a second.
func (t *traffic) peak() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	most := 0
	for _, n := range t.per {
		most = max(most, n)
	}
	return most
}

// sums of what nodes called.
type sums struct {
	done      map[string]int // calls that succeeded, by API
	throttled int            // requests that EC2 refused for their rate
	refused   map[string]int // the same, by API
	retries   int            // requests that are not the first of their call
	other     map[string]int // requests that failed otherwise
	perNode   []int          // calls that succeeded, by node, in order
}

func (w *world) sum() sums {
	s := sums{done: map[string]int{}, other: map[string]int{}, refused: map[string]int{}}
	for _, n := range w.nodes {
		mine := 0
		for _, a := range n.calls.snapshot() {
			switch {
			case a.throttled:
				s.throttled++
				s.refused[a.api]++
			case a.unanswered: // the daemon's own limit of a Describe
			case a.failed:
				s.other[a.api]++
			default:
				s.done[a.api]++
				mine++
			}
			if a.again {
				s.retries++
			}
		}
		s.perNode = append(s.perNode, mine)
	}
	slices.Sort(s.perNode)
	return s
}
