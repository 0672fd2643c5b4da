package hostnet

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

func TestWatchSeesADeletedRule(t *testing.T) {
	h, d := nodeWith3(t)
	syncOK(t, h, d)
	ctx, cancel := context.WithCancel(t.Context())
	changes, err := h.Watch(ctx)
	must(t, err)
	for range 20 {
		must(t, netlink.RuleDel(ruleOf(512, "", 5120, 0)))
		select {
		case <-changes: // Watch has no timer: what comes is the kernel's news
		case <-time.After(5 * time.Second):
			t.Fatal("the deleted rule was not seen")
		}
		if obs := syncOK(t, h, d); len(obs.Repaired) != 1 {
			t.Errorf("repaired %q", obs.Repaired)
		}
	}
	// A change that came late, such as a link's, is not what is asked here: first
	// there must be none for a while.
	eventually(t, "the changes end", func() bool {
		select {
		case <-changes:
			return false
		case <-time.After(50 * time.Millisecond):
			return true
		}
	})
	// What Sync adds carries our protocol and is not reported back.
	must(t, h.EnsureFrom(prefixOf("10.20.11.50/32"), 2))
	select {
	case <-changes:
		t.Error("our own additions came back as changes")
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	eventually(t, "the channel closes", func() bool {
		select {
		case _, open := <-changes:
			return !open
		default:
			return false
		}
	})
}

// TestWatchSettles: a Sync for each change comes to rest, also when Sync itself
// changes links and addresses, which carry no protocol.
func TestWatchSettles(t *testing.T) {
	h, d := nodeWith3(t)
	changes, err := h.Watch(t.Context())
	must(t, err)
	syncOK(t, h, d)
	must(t, netlink.LinkSetDown(linkNamed(t, "eth1")))
	syncs := 0
	for quiet := false; !quiet; {
		select {
		case <-changes:
			if syncs++; syncs > 20 {
				t.Fatal("changes and Syncs go round in circles")
			}
			syncOK(t, h, d)
		case <-time.After(200 * time.Millisecond):
			quiet = true
		}
	}
	compareGolden(t, goldenNode)
}

// fakeSocket gives scripted answers, then blocks until it is closed.
type fakeSocket struct {
	answers []error
	closed  chan struct{}
}

func (f *fakeSocket) Read([]byte) (int, error) {
	if len(f.answers) == 0 {
		<-f.closed
		return 0, io.EOF
	}
	err := f.answers[0]
	f.answers = f.answers[1:]
	return 0, err
}

func (f *fakeSocket) Close() error { close(f.closed); return nil }

func TestWatchAfterLostMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		socket := func(answers ...error) *fakeSocket {
			return &fakeSocket{answers: answers, closed: make(chan struct{})}
		}
		opened := 0
		open := func() (io.ReadCloser, error) {
			opened++
			if opened == 1 {
				return nil, errors.New("no descriptors left")
			}
			return socket(), nil
		}
		changes := watch(ctx, socket(unix.ENOBUFS), open)
		<-changes // overflow is a change
		synctest.Wait()
		if opened != 0 {
			t.Error("an overflow made it open another socket; the old one goes on")
		}
		cancel()
		if _, ok := <-changes; ok {
			t.Error("a change after the end")
		}

		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		start := time.Now()
		changes = watch(ctx, socket(unix.EBADF), open)
		<-changes // a new socket, after one failure to open it
		if took := time.Since(start); took != 2*reopenAfter || opened != 2 {
			t.Errorf("opened %d sockets in %s", opened, took)
		}
		cancel()
		synctest.Wait()
	})
}

// ruleMessage is a RTM_NEWRULE as the kernel sends it.
func ruleMessage(tb testing.TB, protocol uint8) []byte {
	tb.Helper()
	req := nl.NewNetlinkRequest(unix.RTM_NEWRULE, 0)
	req.AddData(nl.NewRtMsg())
	req.AddData(nl.NewRtAttr(nl.FRA_PRIORITY, []byte{0, 2, 0, 0}))
	req.AddData(nl.NewRtAttr(nl.FRA_PROTOCOL, []byte{protocol}))
	return req.Serialize()
}

func FuzzRelevant(f *testing.F) {
	own := ruleMessage(f, vpcnet.RouteProtocol)
	f.Add(own)
	f.Add(ruleMessage(f, 0))
	f.Add([]byte{})
	f.Add([]byte{16, 0, 0, 0, 24, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) { relevant(b) })
}

func TestRelevant(t *testing.T) {
	if relevant(ruleMessage(t, vpcnet.RouteProtocol)) {
		t.Error("our own rule counts as a change")
	}
	if !relevant(ruleMessage(t, 3)) || !relevant(ruleMessage(t, 0)) {
		t.Error("another program's rule does not count as a change")
	}
}
