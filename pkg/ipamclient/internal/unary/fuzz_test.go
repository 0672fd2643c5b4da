package unary

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// tape is a server that has said all that it will.
type tape struct {
	net.Conn
	in *bytes.Reader
}

func (t tape) Read(b []byte) (int, error)  { return t.in.Read(b) }
func (t tape) Write(b []byte) (int, error) { return len(b), nil }

// FuzzAnswer plays any bytes to a call: it ends with an answer or an error of
// its type, and holds no more than an answer may have.
func FuzzAnswer(f *testing.F) {
	for _, w := range ways {
		var b bytes.Buffer
		s := &script{Framer: http2.NewFramer(&b, nil), conn: recorder{w: &b}}
		s.AllowIllegalWrites = true
		s.encoder = hpack.NewEncoder(&s.table)
		s.must(s.WriteSettings())
		w.do(s)
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		in := bytes.NewReader(said)
		c := &call{conn: tape{in: in}, in: bufio.NewReader(in), decoder: hpack.NewDecoder(4096, nil), window: firstWindow, connWindow: firstWindow}
		answer, err := c.run(encodeHeaders(method, 0, nil), bytes.Repeat([]byte("x"), firstWindow+100))
		if _, ok := errors.AsType[*Error](err); err != nil && !ok {
			t.Errorf("%T: %v", err, err)
		}
		if len(answer) > len(said) || cap(c.body) > 2*(maxMessage+maxFrame) || c.window > maxWindow || c.connWindow > maxWindow {
			t.Errorf("an answer of %d bytes from %d; windows %d, %d", len(answer), len(said), c.window, c.connWindow)
		}
	})
}

type recorder struct {
	net.Conn
	w *bytes.Buffer
}

func (r recorder) Write(b []byte) (int, error) { return r.w.Write(b) }

// FuzzFrame compares the framing with that of golang.org/x/net.
func FuzzFrame(f *testing.F) {
	f.Add(uint8(0), uint8(flagPadded), uint32(1), []byte{1, 'x', 0})
	f.Add(uint8(1), uint8(flagPadded|flagPriority), uint32(1), []byte{1, 0, 0, 0, 0, 0, 'x', 0})
	f.Fuzz(func(t *testing.T, k, flags uint8, stream uint32, payload []byte) {
		if len(payload) > maxFrame {
			return
		}
		raw := appendFrame(nil, kind(k), flags, stream, payload)
		got, err := readFrame(bytes.NewReader(raw), make([]byte, maxFrame))
		if err != nil || got.stream != stream&streamMask || got.kind != kind(k) || got.flags != flags || !bytes.Equal(got.payload, payload) {
			t.Fatalf("%+v, %v", got, err)
		}
		other, err := http2.NewFramer(nil, bytes.NewReader(raw)).ReadFrame()
		var want []byte
		switch o := other.(type) {
		case *http2.DataFrame:
			want = o.Data()
		case *http2.HeadersFrame:
			want = o.HeaderBlockFragment()
		default:
			return
		}
		mine, merr := got.content()
		if (err == nil) != (merr == nil) || err == nil && !bytes.Equal(mine, want) {
			t.Errorf("%q, %v; x/net reads %q, %v", mine, merr, want, err)
		}
	})
}
