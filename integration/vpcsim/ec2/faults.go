package ec2

import (
	"cmp"
	"net/http"
	"slices"
	"sync"
	"time"
)

// OK is the outcome of a call that succeeded.
const OK = "ok"

// Call says how often an action ended in an outcome.
type Call struct {
	Action  string `json:"action"`
	Outcome string `json:"outcome"` // OK, "lost", or an EC2 error code
	Count   int    `json:"count"`
}

type counters struct {
	mu sync.Mutex
	n  map[[2]string]int
}

func (c *counters) count(action, outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[[2]string]int{}
	}
	c.n[[2]string{action, outcome}]++
}

// Calls counts the EC2 calls so far, by action and outcome.
func (s *Sim) Calls() []Call {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	out := []Call{}
	for k, n := range s.calls.n {
		out = append(out, Call{k[0], k[1], n})
	}
	slices.SortFunc(out, func(a, b Call) int {
		return cmp.Or(cmp.Compare(a.Action, b.Action), cmp.Compare(a.Outcome, b.Outcome))
	})
	return out
}

// ResetCalls starts the counts anew.
func (s *Sim) ResetCalls() {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	s.calls.n = nil
}

// Names of faults besides those of actions.
const (
	AnyFault  = "*"    // every EC2 action that has no fault of its own
	IMDSFault = "IMDS" // requests to the instance metadata service: latency, and 503 for any code
)

// Fault makes calls of an action slow, refused, or applied without an answer.
type Fault struct {
	Action       string        `json:"action"`
	Latency      time.Duration `json:"latency"`      // before the call is looked at
	ReplyLatency time.Duration `json:"replyLatency"` // between its effect and the answer
	Code         string        `json:"code"`         // EC2 error code; empty: the call succeeds
	Lost         bool          `json:"lost"`         // applied, the connection breaks instead of an answer
	Count        int           `json:"count"`        // how many calls; 0 is all until cleared
}

// err is the error with the HTTP status that EC2 uses for the code.
func (f Fault) err() error {
	status := http.StatusBadRequest
	switch f.Code {
	case "RequestLimitExceeded", "Unavailable", "ServiceUnavailable":
		status = http.StatusServiceUnavailable
	case "InternalError", "InternalFailure":
		status = http.StatusInternalServerError
	case "UnauthorizedOperation":
		status = http.StatusForbidden
	}
	return &apiError{f.Code, "Injected by vpcsim fault", status}
}

type faults struct {
	mu sync.Mutex
	by map[string]*Fault
}

// Fault sets the fault of its action; the zero effect clears it.
func (s *Sim) Fault(f Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	if s.faults.by == nil {
		s.faults.by = map[string]*Fault{}
	}
	if f.Latency == 0 && f.ReplyLatency == 0 && f.Code == "" && !f.Lost {
		delete(s.faults.by, f.Action)
		return
	}
	s.faults.by[f.Action] = &f
}

// Faults lists the faults in force.
func (s *Sim) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	out := []Fault{}
	for _, f := range s.faults.by {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b Fault) int { return cmp.Compare(a.Action, b.Action) })
	return out
}

func (fs *faults) next(action string) Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f, ok := fs.by[action]
	if !ok && action != IMDSFault {
		f, ok = fs.by[AnyFault]
	}
	if !ok {
		return Fault{}
	}
	if f.Count > 0 {
		if f.Count--; f.Count == 0 {
			delete(fs.by, f.Action)
		}
	}
	return *f
}

// ClearFaults removes every fault.
func (s *Sim) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.by = nil
}
