package intent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// spin lets the daemon settle and tidy for some minutes.
func spin(t *testing.T, w *world, k *Keeper) {
	t.Helper()
	for range 6 {
		must(t, errors.Join(k.Settle(t.Context(), w.attached()), k.Tidy(t.Context())))
		time.Sleep(time.Minute)
	}
}

// Wherever a daemon is killed while it makes and removes ENIs, before a call or
// write or with the answer under way, the next one leaves nothing that does not
// end with the instance, and nothing on disk.
func TestKilledAnywhere(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, hidden := range []bool{false, true} {
			for at := 1; ; at++ {
				if !killAt(t, at, after, hidden) {
					if at < 18 {
						t.Errorf("only %d points to kill at", at-1)
					}
					break
				}
			}
		}
	}
}

func killAt(t *testing.T, at int, after, hidden bool) (died bool) {
	t.Run(fmt.Sprintf("%d after=%t hidden=%t", at, after, hidden), func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			k := w.boot(t)
			w.killAt, w.after = at, after
			for device := 1; device <= 2; device++ {
				_, _ = k.Make(t.Context(), spec("subnet-1"), 0, device)
			}
			if e := w.enis["eni-1"]; e != nil {
				_ = k.Remove(t.Context(), *e)
			}
			died = w.dead
			w.hidden = hidden
			k = w.boot(t)
			if err := k.Settle(t.Context(), w.attached()); err != nil && !hidden {
				t.Error(err)
			}
			w.hidden = false
			spin(t, w, k)
			for _, e := range w.enis {
				if e.AttachmentID == "" || !e.DeleteOnTermination && e.ID != "eni-0" {
					t.Errorf("killed at %s: left in EC2: %s", w.calls[at-1], w)
				}
			}
			if len(w.disk) != 0 || len(k.open) != 0 {
				t.Errorf("killed at %s: left on disk: %v", w.calls[at-1], w.disk)
			}
		})
	})
	return died
}

// The daemon after a crash uses what the one before made, and makes no other;
// its ClientToken finds an ENI too that no list shows yet.
func TestCrashedMakeIsUsed(t *testing.T) {
	for _, tc := range []struct {
		at     int // 3: the answer of Create is lost; 4: its id is on disk
		hidden bool
	}{{2, false}, {3, false}, {4, false}, {5, false}, {2, true}, {3, true}, {4, true}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			k := w.boot(t)
			w.killAt, w.after = tc.at, tc.at != 5
			if _, err := k.Make(t.Context(), spec("subnet-1"), 0, 1); err == nil {
				t.Fatal("it did not die")
			}
			k = w.boot(t)
			w.hidden = tc.hidden
			if err := k.Settle(t.Context(), w.attached()); err != nil {
				w.hidden = false // its id is known, and it is not listed: it is waited for
				must(t, k.Settle(t.Context(), w.attached()))
			}
			made, err := k.Make(t.Context(), spec("subnet-1"), 0, 1)
			must(t, err)
			if made.ID != "eni-1" || made.Device != 1 {
				t.Errorf("%+v: made %s, device %d", tc, made.ID, made.Device)
			}
			w.hidden = false
			spin(t, w, k)
			w.want(t, "eni-0, eni-1", 0)
		})
	}
}

// A state that is lost loses no ENI: its tag finds it.
func TestLostStateLeaksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for at := 2; at <= 6; at++ {
			w := newWorld()
			k := w.boot(t)
			w.killAt, w.after = at, true
			_, _ = k.Make(t.Context(), spec("subnet-1"), 0, 1)
			clear(w.disk)
			spin(t, w, w.boot(t))
			if s := w.String(); strings.Contains(s, "spare") || strings.Contains(s, "unmarked") {
				t.Errorf("killed at %d: %s", at, s)
			}
		}
	})
}

func TestSpareIsUsedIfItFits(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(e *eni.ENI)
		fits   bool
	}{
		{"as it is", func(*eni.ENI) {}, true},
		{"groups in another order", func(e *eni.ENI) { e.Groups = []string{"sg-2", "sg-1"} }, true},
		{"other subnet", func(e *eni.ENI) { e.SubnetID = "subnet-2" }, false},
		{"fewer groups", func(e *eni.ENI) { e.Groups = []string{"sg-1"} }, false},
		{"somebody else's instance", func(e *eni.ENI) { e.Tags = map[string]string{eni.TagInstance: "i-2"} }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				s := spec("subnet-1")
				old := &eni.ENI{ID: "eni-old", SubnetID: s.SubnetID, Groups: s.Groups, Tags: s.Tags}
				tc.change(old)
				w.enis[old.ID] = old
				k := w.boot(t)
				made, err := k.Make(t.Context(), s, 0, 1)
				must(t, err)
				if (made.ID == "eni-old") != tc.fits || slices.Contains(w.calls, "Create") == tc.fits {
					t.Errorf("made %s with %v", made.ID, w.calls)
				}
			})
		})
	}
}

func TestKeptENIIsNeitherUsedNorDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		e := &eni.ENI{ID: "eni-kept", SubnetID: "subnet-1", Groups: spec("").Groups, Tags: map[string]string{
			eni.TagInstance: "i-1", "node.k8s.amazonaws.com/no_manage": "true",
		}}
		w.enis[e.ID] = e
		k := w.boot(t)
		_, err := k.Make(t.Context(), spec("subnet-1"), 0, 1)
		must(t, err)
		spin(t, w, k)
		w.want(t, "eni-0, eni-1, eni-kept spare", 0)
		e.AttachmentID, e.Device = "attach-kept", 5
		spin(t, w, k)
		w.want(t, "eni-0, eni-1, eni-kept unmarked", 0)
	})
}

// What EC2 refuses is undone at once; an answer that is lost leaves an intent
// that Settle ends. Neither makes an ENI twice.
func TestFailures(t *testing.T) {
	boom := errors.New("boom")
	for _, call := range []string{"Create", "Attach", "Mark"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			k := w.boot(t)
			w.faults[call] = []error{boom}
			if _, err := k.Make(t.Context(), spec("subnet-1"), 0, 1); !errors.Is(err, boom) || k.Unsettled() {
				t.Errorf("%s refused: %v; unsettled %t", call, err, k.Unsettled())
			}
			w.want(t, "eni-0", 0)
		})
		for _, err := range []error{eni.ErrNoAnswer, eni.ErrThrottled, context.DeadlineExceeded, nil} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				k := w.boot(t)
				if w.lost[call] = err == nil; err != nil {
					w.faults[call] = []error{err}
				}
				if _, err := k.Make(t.Context(), spec("subnet-1"), 0, 1); err == nil {
					t.Errorf("%s lost: no error", call)
				}
				must(t, k.Settle(t.Context(), w.attached()))
				if _, err := k.Make(t.Context(), spec("subnet-1"), 0, 2); err != nil {
					t.Error(err)
				}
				spin(t, w, k)
				if s := w.String(); s != "eni-0, eni-1" && s != "eni-0, eni-1, eni-2" || w.enis["eni-1"].AttachmentID == "" {
					t.Errorf("%s, %v: %s", call, err, s)
				}
				w.want(t, w.String(), 0)
			})
		}
	}
}

// An undo that fails says so, and is made up for.
func TestFailedUndo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		k := w.boot(t)
		w.faults["Attach"], w.faults["Delete"] = []error{errors.New("first")}, []error{errors.New("second")}
		_, err := k.Make(t.Context(), spec("subnet-1"), 0, 1)
		if err == nil || !strings.Contains(err.Error(), "first") || !strings.Contains(err.Error(), "undoing: second") || !k.Unsettled() {
			t.Errorf("Make = %v, unsettled %t", err, k.Unsettled())
		}
		spin(t, w, k)
		w.want(t, "eni-0", 0)
	})
}

// A removal that EC2 refused is void: the pool has the ENI again.
func TestRefusedRemove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		k := w.boot(t)
		made, err := k.Make(t.Context(), spec("subnet-1"), 0, 1)
		must(t, err)
		w.faults["Detach"] = []error{eni.ErrThrottled}
		if err := k.Remove(t.Context(), made); !errors.Is(err, eni.ErrThrottled) || !k.Unsettled() {
			t.Errorf("Remove = %v, unsettled %t", err, k.Unsettled())
		}
		spin(t, w, k)
		w.want(t, "eni-0, eni-1", 0)
	})
}

// A daemon that stops detaches and deletes nothing; what it began it finishes,
// or leaves to the next one.
func TestNothingEndsDuringTheStop(t *testing.T) {
	for _, fails := range []string{"", "Attach", "Mark"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			k := w.boot(t)
			must(t, k.Settle(t.Context(), w.attached()))
			ctx, cancel := context.WithCancel(t.Context())
			made, err := k.Make(ctx, spec("subnet-1"), 0, 1)
			must(t, err)
			cancel()
			w.faults[fails] = []error{errors.New("boom")}
			_, err = k.Make(ctx, spec("subnet-1"), 0, 2)
			if (err == nil) != (fails == "") {
				t.Errorf("Make during the stop: %v", err)
			}
			if k.Remove(ctx, made) == nil {
				t.Error("an ENI was removed during the stop")
			}
			time.Sleep(time.Hour)
			_ = k.Tidy(ctx)
			_ = k.Settle(ctx, w.attached())
			if slices.Contains(w.calls, "Detach") || slices.Contains(w.calls, "Delete") {
				t.Errorf("calls %v", w.calls)
			}
			k = w.boot(t)
			spin(t, w, k)
			if s := w.String(); strings.Contains(s, "spare") || strings.Contains(s, "unmarked") {
				t.Errorf("after the next daemon: %s", s)
			}
		})
	}
}

// No call of EC2 is made that is not on disk first.
func TestNoIntentNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		k := w.boot(t)
		full := errors.New("no space left on device")
		w.faults["write"] = []error{full, full}
		if _, err := k.Make(t.Context(), spec("subnet-1"), 0, 1); !errors.Is(err, full) {
			t.Errorf("Make = %v", err)
		}
		if err := k.Remove(t.Context(), *w.enis["eni-0"]); !errors.Is(err, full) {
			t.Errorf("Remove = %v", err)
		}
		w.want(t, "eni-0", 0)
	})
}

func TestString(t *testing.T) {
	in := Intent{Kind: Create, Step: Creating, Spec: eni.CreateSpec{SubnetID: "subnet-1"}, Device: 3}
	if got, want := in.String(), "create an ENI in subnet-1 for device 3, at create"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	in.Kind, in.Step, in.ENI = Remove, Detaching, "eni-1"
	if got, want := in.String(), "remove eni-1, device 3, at detach"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
