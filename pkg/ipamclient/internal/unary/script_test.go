package unary

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"golang.org/x/sys/unix"
)

// script is a server that sends what a test wants, in golang.org/x/net's framing.
type script struct {
	*http2.Framer
	t       *testing.T
	conn    net.Conn
	table   bytes.Buffer
	encoder *hpack.Encoder
	request []byte
	acks    int // settings that the client has taken
}

// serve has do answer the one connection that comes, after the client's preface.
func serve(t *testing.T, do func(*script)) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patient))
		got := make([]byte, len(http2.ClientPreface))
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != http2.ClientPreface {
			t.Errorf("the preface is %q, %v", got, err)
			return
		}
		s := &script{Framer: http2.NewFramer(conn, conn), t: t, conn: conn}
		s.encoder = hpack.NewEncoder(&s.table)
		do(s)
	}()
	t.Cleanup(func() { _ = l.Close(); <-over })
	return socket
}

// ask reads frames until the client's request is whole, or it waits for a window.
func (s *script) ask(until int) {
	for len(s.request) < until {
		f, err := s.ReadFrame()
		if err != nil {
			s.t.Errorf("after %d bytes: %v", len(s.request), err)
			return
		}
		switch f := f.(type) {
		case *http2.DataFrame:
			s.request = append(s.request, f.Data()...)
			if f.StreamEnded() != (len(s.request) == until) {
				s.t.Logf("END_STREAM is %v after %d bytes", f.StreamEnded(), len(s.request))
			}
		case *http2.SettingsFrame:
			if f.IsAck() {
				s.acks++
			}
		}
	}
}

func (s *script) block(fields ...string) []byte {
	s.table.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := s.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			s.t.Error(err)
		}
	}
	return bytes.Clone(s.table.Bytes())
}

func (s *script) headers(last bool, fields ...string) {
	s.must(s.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: s.block(fields...), EndHeaders: true, EndStream: last}))
}

// must lets a client go away that has heard enough; what it made of that is looked at.
func (s *script) must(err error) {
	if err != nil && !errors.Is(err, unix.EPIPE) {
		s.t.Error(err)
	}
}

func (s *script) begin() {
	s.headers(false, ":status", "200", "content-type", "application/grpc+proto")
}

func (s *script) finish() { s.headers(true, "grpc-status", "0", "grpc-message", "") }

func message(text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
}

func (s *script) data(p []byte) { s.must(s.WriteData(1, false, p)) }

// hangUp ends the answer and waits for the client to go. A socket that is closed
// before it has read what the client sent is told of as reset, not as ended.
func (s *script) hangUp() {
	s.must(s.conn.(*net.UnixConn).CloseWrite()) //nolint:forcetypeassert // serve listens on a unix socket
	_, _ = io.Copy(io.Discard, s.conn)          // ends when the client does, in whatever way
}

// fine is all that an answer needs.
func (s *script) fine(text string) {
	s.begin()
	s.data(message(text))
	s.finish()
}
