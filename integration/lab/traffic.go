package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
)

// End is one end of a conversation: a host of the simulation, or a pod on it.
type End struct {
	Host  string
	Netns string // empty: the host itself
}

// HostEnd is the host itself as an end.
func HostEnd(host string) End { return End{Host: host} }

// PodEnd is the pod as an end.
func PodEnd(p Pod) End { return End{Host: p.Node, Netns: p.Netns()} }

func (e End) wrap(args ...string) []string {
	if e.Netns == "" {
		return args
	}
	return append([]string{"nsenter", "--net=" + e.Netns, "--"}, args...)
}

// Serve starts a TCP server on port at the end; it answers every connection
// with the address it sees. The caller stops it with Close.
func (l *Lab) Serve(ctx context.Context, at End, port uint16) (*Server, error) {
	p, err := l.Start(at.Host, nil, at.wrap(l.Bin("probe"), "serve", fmt.Sprint(port))...)
	if err != nil {
		return nil, err
	}
	s := &Server{proc: p}
	err = Poll(ctx, func() error {
		if strings.Contains(p.Log(), "listening") {
			return nil
		}
		select {
		case <-p.Done():
			return Permanent(fmt.Errorf("probe server at %v ended: %s", at, p.Log()))
		default:
			return fmt.Errorf("probe server at %v does not listen", at)
		}
	})
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Server is a probe server in the background.
type Server struct{ proc *Process }

// Close ends the server.
func (s *Server) Close() { _ = s.proc.Stop(syscall.SIGKILL) }

// Seen is what a probe server saw of a client.
type Seen struct {
	Client netip.AddrPort `json:"client"` // source as it arrived
	Server netip.AddrPort `json:"server"` // destination as it arrived
	Local  netip.AddrPort `json:"local"`  // the client's own view of its source
	Body   string         `json:"body"`   // of an HTTP answer
}

// Dial opens a TCP connection to a probe server and returns what it saw.
func (l *Lab) Dial(ctx context.Context, from End, to netip.AddrPort) (Seen, error) {
	return l.probe(ctx, "dial", from, to)
}

// Get fetches / from a web server.
func (l *Lab) Get(ctx context.Context, from End, to netip.AddrPort) (Seen, error) {
	return l.probe(ctx, "get", from, to)
}

func (l *Lab) probe(ctx context.Context, verb string, from End, to netip.AddrPort) (Seen, error) {
	out, err := l.Exec(ctx, from.Host, from.wrap(l.Bin("probe"), verb, to.String())...)
	if err != nil {
		return Seen{}, err
	}
	var s Seen
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return Seen{}, fmt.Errorf("decoding the probe's answer %q: %w", out, err)
	}
	return s, nil
}

// Hold is a connection that is kept busy.
type Hold struct {
	proc *Process
	Seen Seen // what the server saw when it began
}

// Hold opens a connection to a probe server and keeps it busy until Close.
func (l *Lab) Hold(ctx context.Context, from End, to netip.AddrPort) (*Hold, error) {
	p, err := l.Start(from.Host, nil, from.wrap(l.Bin("probe"), "hold", to.String())...)
	if err != nil {
		return nil, err
	}
	h := &Hold{proc: p}
	if err = h.Alive(ctx); err == nil {
		first, _, _ := strings.Cut(p.Log(), "\n")
		err = json.Unmarshal([]byte(first), &h.Seen)
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// Alive waits for a further echo.
func (h *Hold) Alive(ctx context.Context) error {
	before := strings.Count(h.proc.Log(), "echo")
	return Poll(ctx, func() error {
		select {
		case <-h.proc.Done():
			return Permanent(fmt.Errorf("the connection broke: %s", h.proc.Log()))
		default:
		}
		if strings.Count(h.proc.Log(), "echo") <= before {
			return fmt.Errorf("no echo comes back: %s", h.proc.Log())
		}
		return nil
	})
}

// Close ends the connection.
func (h *Hold) Close() { _ = h.proc.Stop(syscall.SIGKILL) }

// Ping sends one echo request and waits two seconds for the reply.
func (l *Lab) Ping(ctx context.Context, from End, to netip.Addr) error {
	_, err := l.Exec(ctx, from.Host, from.wrap("ping", "-n", "-c1", "-W2", to.String())...)
	return err
}
