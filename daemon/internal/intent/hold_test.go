package intent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
)

// slowly takes a second for each call of EC2 that makes an ENI, or ends one.
type slowly struct{ *world }

func (w slowly) Create(ctx context.Context, spec eni.CreateSpec) (eni.ENI, error) {
	time.Sleep(time.Second)
	return w.world.Create(ctx, spec)
}

func (w slowly) Delete(ctx context.Context, id string) error {
	time.Sleep(time.Second)
	return w.world.Delete(ctx, id)
}

// Who wants an ENI while EC2 is asked about one that was begun gets that one, and
// does not wait for one that goes.
func TestMakeWaitsForWhatIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		k := w.boot(t)
		gone, err := k.Make(t.Context(), spec("subnet-1"), 0, 1)
		must(t, err)
		w.faults["Detach"] = []error{eni.ErrThrottled}
		if err := k.Remove(t.Context(), gone); err == nil {
			t.Fatal("removed although EC2 refuses it")
		}
		must(t, w.Detach(t.Context(), gone.AttachmentID)) // EC2 is not busy any more
		w.lost["Create"] = true
		if _, err := k.Make(t.Context(), spec("subnet-1"), 0, 2); err == nil {
			t.Fatal("made without an answer")
		}
		k.maker, k.remover = slowly{w}, slowly{w}
		begin := time.Now()
		settled := make(chan time.Duration)
		go func() {
			if err := k.Settle(t.Context(), w.attached()); err != nil {
				t.Error(err)
			}
			settled <- time.Since(begin)
		}()
		synctest.Wait() // it waits for EC2
		made, err := k.Make(t.Context(), spec("subnet-1"), 0, 2)
		took := time.Since(begin)
		must(t, err)
		if made.ID != "eni-2" || w.serial != 2 || took != time.Second {
			t.Errorf("%s after %s, %d were made; want the one that was begun, after a second", made.ID, took, w.serial)
		}
		if all := <-settled; all != 2*time.Second {
			t.Errorf("settled after %s, want two seconds", all)
		}
	})
}
