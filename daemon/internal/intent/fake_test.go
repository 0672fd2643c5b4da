package intent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

var errKilled = fmt.Errorf("the process is dead: %w", eni.ErrNoAnswer)

// world is EC2 and the disk, which a killed daemon leaves as they are.
type world struct {
	mu     sync.Mutex
	enis   map[string]*eni.ENI // AttachmentID "": attached to nothing
	tokens map[string]string   // ClientToken -> id
	serial int
	disk   map[string]Intent
	calls  []string

	dead   bool
	killAt int  // the daemon dies at this call or write, counted from 1; 0: never
	after  bool // it dies when that has been applied, but has no answer
	count  int
	faults map[string][]error // by call: each fails one, unapplied
	lost   map[string]bool    // by call: the next one is applied, its answer lost
	hidden bool               // EC2's lists do not show yet what was made lately
}

func newWorld() *world {
	w := &world{enis: map[string]*eni.ENI{}, tokens: map[string]string{}, disk: map[string]Intent{}, faults: map[string][]error{}, lost: map[string]bool{}}
	w.enis["eni-0"] = &eni.ENI{ID: "eni-0", AttachmentID: "attach-0"}
	return w
}

// do applies a call unless the daemon died before or an error was planned.
func (w *world) do(name string, apply func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errKilled
	}
	w.count++
	w.calls = append(w.calls, name)
	w.dead = w.count == w.killAt
	if w.dead && !w.after {
		return errKilled
	}
	if f := w.faults[name]; len(f) > 0 {
		w.faults[name] = f[1:]
		return f[0]
	}
	apply()
	if w.lost[name] {
		delete(w.lost, name)
		return eni.ErrNoAnswer
	}
	if w.dead {
		return errKilled
	}
	return nil
}

func (w *world) Create(_ context.Context, spec eni.CreateSpec) (eni.ENI, error) {
	var out eni.ENI
	err := w.do("Create", func() {
		id, ok := w.tokens[spec.ClientToken]
		if !ok {
			w.serial++
			id = fmt.Sprintf("eni-%d", w.serial)
			w.tokens[spec.ClientToken] = id
			w.enis[id] = &eni.ENI{ID: id, SubnetID: spec.SubnetID, Groups: spec.Groups, Tags: spec.Tags}
		}
		if e := w.enis[id]; e != nil {
			out = *e
		}
	})
	if err != nil {
		return eni.ENI{}, err
	}
	return out, nil
}

func (w *world) Attach(_ context.Context, id string, card, device int) (string, error) {
	refusal := error(nil)
	err := w.do("Attach", func() {
		e := w.enis[id]
		if e == nil {
			refusal = eni.ErrNotFound
			return
		}
		for _, o := range w.enis {
			if o.AttachmentID != "" && o.Device == device || o.ID == id && o.AttachmentID != "" {
				refusal = errors.New("in use")
				return
			}
		}
		e.AttachmentID, e.Card, e.Device = "attach-"+id, card, device
	})
	return "attach-" + id, errors.Join(refusal, err)
}

func (w *world) DeleteWithInstance(_ context.Context, id, _ string) error {
	return w.do("Mark", func() { w.enis[id].DeleteOnTermination = true })
}

func (w *world) Detach(_ context.Context, attachment string) error {
	return w.do("Detach", func() {
		for _, e := range w.enis {
			if e.AttachmentID == attachment {
				e.AttachmentID = ""
			}
		}
	})
}

func (w *world) Delete(_ context.Context, id string) error {
	var refusal error
	err := w.do("Delete", func() {
		if e := w.enis[id]; e != nil && e.AttachmentID != "" {
			refusal = errors.New(id + " is in use")
			return
		}
		if e := w.enis[id]; !w.hidden || e == nil || e.DeleteOnTermination {
			delete(w.enis, id)
		} // what EC2 does not know yet is not found, which is a success
	})
	return errors.Join(refusal, err)
}

func (w *world) Available(_ context.Context, tags map[string]string) (out []eni.ENI, err error) {
	err = w.do("Available", func() {
		for _, e := range w.enis {
			all := e.AttachmentID == "" && !w.hidden
			for k, v := range tags {
				all = all && e.Tags[k] == v
			}
			if all {
				out = append(out, *e)
			}
		}
	})
	return out, err
}

func (w *world) attached() (out []eni.ENI) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.enis {
		if e.AttachmentID != "" {
			out = append(out, *e)
		}
	}
	return out
}

func (w *world) Intents() ([]Intent, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.disk)), nil
}

func (w *world) Intend(in Intent) error { return w.do("write", func() { w.disk[in.ID] = in }) }

func (w *world) Done(id string) error { return w.do("clear", func() { delete(w.disk, id) }) }

// boot is the start of a daemon in this world; it does not settle.
func (w *world) boot(t *testing.T) *Keeper {
	t.Helper()
	w.mu.Lock()
	w.dead, w.killAt = false, 0
	w.mu.Unlock()
	k := New(w, w, w, slog.New(slog.DiscardHandler))
	if err := k.Load("i-1"); err != nil {
		t.Fatal(err)
	}
	return k
}

func spec(subnet string) eni.CreateSpec {
	return eni.CreateSpec{SubnetID: subnet, Groups: []string{"sg-1", "sg-2"}, Addresses: 2, Tags: map[string]string{eni.TagInstance: "i-1"}}
}

// String lists the ENIs: attached, and whether they end with the instance.
func (w *world) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for id, e := range w.enis {
		switch {
		case e.AttachmentID == "":
			id += " spare"
		case !e.DeleteOnTermination && id != "eni-0":
			id += " unmarked"
		}
		out = append(out, id)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// want checks what is in EC2, and that the disk has no intent.
func (w *world) want(t *testing.T, enis string, intents int) {
	t.Helper()
	if got := w.String(); got != enis {
		t.Errorf("in EC2: %s; want %s", got, enis)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.disk) != intents {
		t.Errorf("intents on disk: %v; want %d", w.disk, intents)
	}
}
