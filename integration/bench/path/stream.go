package path

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Way is a way whose throughput is measured, beside that of as many plain routers.
type Way struct {
	Name     string
	From, To Pod
}

const (
	streamed     = 1500 * time.Millisecond
	streamRounds = 3
	streamPort   = 5001
	headers      = 52 // IP, TCP and its time stamps, octets
)

// Streams measures a TCP stream along each way, in turns with the plain one, and
// returns the report.
func Streams(ctx context.Context, ways []Way) (string, error) {
	type measured struct {
		hops, mss   int
		real, plain []float64
		bare        *plain
	}
	all := make([]measured, len(ways))
	for i, w := range ways {
		m := &all[i]
		var err error
		if m.hops, err = hopsBetween(w.From.end(), w.To.end()); err != nil {
			return "", fmt.Errorf("%s: %w", w.Name, err)
		}
		if _, m.mss, err = stream(w.From.end(), w.To.end(), 100*time.Millisecond); err != nil {
			return "", fmt.Errorf("%s: %w", w.Name, err)
		}
		if m.bare, err = newPlain(m.hops, m.mss+headers); err != nil {
			return "", err
		}
		defer m.bare.close()
	}
	for range streamRounds {
		for i, w := range ways {
			m := &all[i]
			if err := ctx.Err(); err != nil {
				return "", err
			}
			rate, _, err := stream(w.From.end(), w.To.end(), streamed)
			if err != nil {
				return "", fmt.Errorf("%s: %w", w.Name, err)
			}
			plain, _, err := stream(m.bare.ends[0], m.bare.ends[1], streamed)
			if err != nil {
				return "", fmt.Errorf("%s, plain: %w", w.Name, err)
			}
			m.real, m.plain = append(m.real, rate), append(m.plain, plain)
		}
	}
	var out strings.Builder
	fmt.Fprintf(&out, "One TCP stream of %s, medians of %d, in turns with a stream through as many plain routers: namespaces with a route there and a route\nback, no rules, filters or tracking, and links of the same MTU. Nothing is segmented: links between namespaces pass large segments on as they are.\n",
		streamed, streamRounds)
	out.WriteString("\n| way | routers | largest segment | Gbit/s | plain Gbit/s | / plain |\n|---|---|---|---|---|---|\n")
	for i, w := range ways {
		m := all[i]
		fmt.Fprintf(&out, "| %s | %d | %d | %.1f | %.1f | %s |\n", w.Name, m.hops, m.mss, median(m.real)/1e9, median(m.plain)/1e9, ratio(median(m.real), median(m.plain)))
	}
	return out.String(), nil
}

// stream sends for so long and returns the bits a second that arrived, and the
// largest segment that the connection may send.
func stream(from, to end, d time.Duration) (rate float64, mss int, err error) {
	var l *net.TCPListener
	at := netip.AddrPortFrom(to.addr, streamPort)
	if err := to.space.in(func() error {
		l, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at))
		return err
	}); err != nil {
		return 0, 0, err
	}
	defer func() { _ = l.Close() }()
	if err := l.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return 0, 0, err
	}
	var c net.Conn
	if err := from.space.in(func() error {
		c, err = net.DialTimeout("tcp4", at.String(), 5*time.Second)
		return err
	}); err != nil {
		return 0, 0, err
	}
	defer func() { _ = c.Close() }()
	got, err := l.Accept()
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = got.Close() }()
	if mss, err = segmentOf(c); err != nil {
		return 0, 0, err
	}
	sent := make(chan error, 1)
	go func() { sent <- push(c, d) }()
	start := time.Now()
	if err := got.SetReadDeadline(start.Add(d + 10*time.Second)); err != nil {
		return 0, 0, err
	}
	// A buffer of the reader's own: io.Discard has one of 8 KiB.
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{got}, make([]byte, 256<<10))
	took := time.Since(start)
	if err = errors.Join(err, <-sent); err != nil {
		return 0, 0, err
	}
	return float64(n) * 8 / took.Seconds(), mss, nil
}

// push writes until the time is over.
func push(c net.Conn, d time.Duration) error {
	end := time.Now().Add(d)
	if err := c.SetWriteDeadline(end.Add(10 * time.Second)); err != nil {
		return err
	}
	for buf := make([]byte, 256<<10); time.Now().Before(end); {
		if _, err := c.Write(buf); err != nil {
			return err
		}
	}
	return c.Close()
}

// segmentOf is the connection's largest segment.
func segmentOf(c net.Conn) (mss int, err error) {
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	cerr := raw.Control(func(fd uintptr) { mss, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG) })
	return mss, errors.Join(cerr, err)
}
