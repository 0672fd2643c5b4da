package branches

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/integration/lab"
	"github.com/vpcchain/vpcchain/integration/vpcsim/capture"
	"github.com/vpcchain/vpcchain/integration/vpcsim/fabric"
)

// end is one end of a conversation: the namespace in which it talks, and what
// the VPC knows of it.
type end struct {
	name  string
	addr  netip.Addr
	enter func(func() error) error

	groups []string // of its ENI; nil: outside the VPC
	node   string   // on which it is; "" elsewhere
	branch bool
}

// port is what is served everywhere.
type port struct {
	proto  string
	number uint16
}

func (p port) String() string { return fmt.Sprintf("%s %d", p.proto, p.number) }

func ports() []port { return []port{{"tcp", 8080}, {"tcp", 8443}, {"udp", 5353}} }

// serve answers on all ports with the address that a packet came from.
func (e *end) serve(t *testing.T) {
	t.Helper()
	must(t, e.enter(func() error {
		for _, p := range ports() {
			at := fmt.Sprint(":", p.number)
			if p.proto == "udp" {
				c, err := net.ListenPacket("udp4", at)
				if err != nil {
					return err
				}
				t.Cleanup(func() { _ = c.Close() })
				go echo(c)
				continue
			}
			l, err := net.Listen("tcp4", at)
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = l.Close() })
			go accept(l)
		}
		return nil
	}))
}

func echo(c net.PacketConn) {
	buf := make([]byte, 64)
	for {
		_, from, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteTo([]byte(from.String()), from)
	}
}

func accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, c.RemoteAddr().String())
		_ = c.Close()
	}
}

// patience is how long a machine may take that is busy with other things. What
// the VPC refuses is known from its records, not from the time that passes.
const patience = time.Minute

// talk sends to the port and returns the source that the server saw. It tries as
// long as ctx lasts: TCP repeats its SYN, and the datagram is sent every second.
func (e *end) talk(ctx context.Context, to netip.Addr, p port) (netip.Addr, error) {
	var text []byte
	err := e.enter(func() error {
		c, err := new(net.Dialer).DialContext(ctx, p.proto+"4", netip.AddrPortFrom(to, p.number).String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if p.proto == "tcp" {
			_ = c.SetDeadline(time.Now().Add(patience))
			text, err = io.ReadAll(c)
			return err
		}
		text, err = question(ctx, c)
		return err
	})
	if err != nil {
		return netip.Addr{}, err
	}
	from, err := netip.ParseAddrPort(string(text))
	return from.Addr(), err
}

// question is a datagram and its answer.
func question(ctx context.Context, c net.Conn) ([]byte, error) {
	text := make([]byte, 64)
	for ctx.Err() == nil {
		if _, err := c.Write([]byte("?")); err != nil {
			return nil, err
		}
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(text); err == nil {
			return text[:n], nil
		} else if !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, err
		}
	}
	return nil, ctx.Err()
}

// attempt is what became of a first packet.
type attempt struct {
	from   *end
	to     netip.Addr
	port   port
	as     netip.Addr // the source with which the VPC sees it
	source netip.Addr // as it arrived
	reason string     // why the VPC refused it
	err    error
}

// talks makes the attempts at the same time, and waits until each is answered or
// refused. One that is neither has an error and no reason.
func (w *world) talks(t *testing.T, list []*attempt) {
	t.Helper()
	must(t, w.ask(t.Context(), "DELETE", "/drops", nil))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var mu sync.Mutex // of reasons
	pending := map[*attempt]context.CancelFunc{}
	var all sync.WaitGroup
	for _, a := range list {
		own, stop := context.WithCancel(ctx)
		pending[a] = stop
		all.Go(func() {
			source, err := a.from.talk(own, a.to, a.port)
			mu.Lock()
			defer mu.Unlock()
			a.source, a.err = source, err
			stop()
			delete(pending, a)
		})
	}
	err := lab.Poll(ctx, func() error {
		var refused []fabric.Refused
		if err := w.ask(ctx, "GET", "/drops", &refused); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, r := range refused {
			for a, stop := range pending {
				if r.Source == a.as && r.Dest == a.to && r.Protocol == a.port.proto && r.Port == int(a.port.number) {
					a.reason = r.Reason
					stop()
				}
			}
		}
		if len(pending) > 0 {
			return fmt.Errorf("%d packets are neither answered nor refused", len(pending))
		}
		return nil
	})
	all.Wait()
	if err != nil {
		t.Error(err)
	}
}

// sees fails the test unless the port answers and saw the source.
func (e *end) sees(t *testing.T, to netip.Addr, p port, want netip.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := e.talk(ctx, to, p); err != nil || got != want {
		t.Errorf("%s to %s %s arrives from %v, want %s (%v)", e.name, to, p, got, want, err)
	}
}

// refused fails the test unless the VPC refuses the packet for its groups.
func (w *world) refused(t *testing.T, from *end, to netip.Addr, p port) {
	t.Helper()
	a := &attempt{from: from, to: to, port: p, as: from.addr}
	if w.talks(t, []*attempt{a}); a.err == nil || !strings.Contains(a.reason, "security group") {
		t.Errorf("%s to %s %s: %v, refused for %q", from.name, to, p, a.err, a.reason)
	}
}

// captured are the packets of the host's link, as they are there, that match the
// filter while f runs.
func (h *host) captured(t *testing.T, link, filter string, f func()) []capture.Packet {
	t.Helper()
	sel, err := capture.ParseFilter(filter)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var out []capture.Packet
	var ended sync.WaitGroup
	ready := make(chan struct{})
	ended.Go(func() {
		err := h.enter(func() error {
			return capture.Run(ctx, link, sel, func() { close(ready) }, func(p capture.Packet) bool {
				out = append(out, p)
				return true
			})
		})
		if err != nil {
			t.Errorf("capturing on %s: %v", link, err)
			select {
			case <-ready:
			default:
				close(ready)
			}
		}
	})
	<-ready
	f()
	time.Sleep(150 * time.Millisecond) // what is under way
	cancel()
	ended.Wait()
	return out
}
