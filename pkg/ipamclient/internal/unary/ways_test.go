package unary

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
)

// ways are answers, each of one connection after the request "ask".
var ways = []struct {
	name string
	do   func(*script)
	code codes.Code
	part string // of the answer or of the error
}{
	{"plain", func(s *script) { s.fine("good") }, codes.OK, "good"},
	{"frames of each kind between", func(s *script) {
		s.must(s.WritePing(false, [8]byte{1, 2, 3}))
		s.must(s.WritePing(true, [8]byte{9}))
		s.must(s.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}, http2.Setting{ID: 0xff, Val: 1}))
		s.must(s.WriteWindowUpdate(0, 100))
		s.must(s.WriteWindowUpdate(1, 100))
		s.must(s.WritePriority(1, http2.PriorityParam{}))
		s.must(s.WriteRawFrame(0xee, 0xff, 77, []byte("of the future")))
		s.headers(false, ":status", "103")
		s.must(s.WriteGoAway(1, http2.ErrCodeNo, nil))
		s.fine("good")
	}, codes.OK, "good"},
	{"padding, priority, blocks in parts", func(s *script) {
		block := s.block(":status", "200", "content-type", "application/grpc", "x", strings.Repeat("y", 100))
		s.must(s.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:1], PadLength: 9, Priority: http2.PriorityParam{Weight: 3}}))
		s.must(s.WriteContinuation(1, false, block[1:7]))
		s.must(s.WriteContinuation(1, true, block[7:]))
		p := message("in parts")
		s.must(s.WriteDataPadded(1, false, p[:3], make([]byte, 255)))
		s.data(nil)
		s.must(s.WriteDataPadded(1, false, p[3:7], nil))
		s.data(p[7:])
		s.finish()
	}, codes.OK, "in parts"},
	{"trailers alone", func(s *script) {
		s.headers(true, ":status", "200", "content-type", "application/grpc", "grpc-status", "8", "grpc-message", "none%20left%2")
	}, codes.ResourceExhausted, "none left%2"},
	{"a status that is no number", func(s *script) { s.begin(); s.headers(true, "grpc-status", "x") }, codes.Unknown, `"x"`},
	{"a status of tomorrow", func(s *script) { s.begin(); s.headers(true, "grpc-status", "99") }, codes.Code(99), ""},
	{"no status", func(s *script) { s.begin(); s.data(message("x")); s.headers(true, "a", "b") }, codes.Unknown, "grpc-status"},
	{"no trailers", func(s *script) { s.begin(); s.must(s.WriteData(1, true, message("x"))) }, codes.Internal, "without a status"},
	{"no message", func(s *script) { s.begin(); s.finish() }, codes.Internal, "without an answer"},
	{"two messages", func(s *script) { s.begin(); s.data(append(message("x"), message("y")...)); s.finish() }, codes.Internal, "more than one"},
	{"half a message", func(s *script) { s.begin(); s.data(message("12345")[:8]); s.finish() }, codes.Internal, "3 bytes in place of 5"},
	{"compressed", func(s *script) { s.begin(); s.data([]byte{1, 0, 0, 0, 1, 9}); s.finish() }, codes.Internal, "compressed"},
	{"too long", func(s *script) { s.begin(); s.data([]byte{0, 0xff, 0, 0, 0}) }, codes.ResourceExhausted, "more than"},
	{"HTTP 503", func(s *script) { s.headers(true, ":status", "503", "content-type", "text/html") }, codes.Unavailable, "503"},
	{"HTTP 404", func(s *script) { s.headers(false, ":status", "404") }, codes.Unimplemented, "404"},
	{"a page", func(s *script) { s.headers(false, ":status", "200", "content-type", "text/html") }, codes.Unknown, "no gRPC server"},
	{"refused", func(s *script) { s.must(s.WriteRSTStream(1, http2.ErrCodeRefusedStream)) }, codes.Unavailable, "code 7"},
	{"reset", func(s *script) { s.begin(); s.must(s.WriteRSTStream(1, http2.ErrCodeInternal)) }, codes.Internal, "code 2"},
	{"cancelled", func(s *script) { s.must(s.WriteRSTStream(1, http2.ErrCodeCancel)) }, codes.Canceled, "code 8"},
	{"calm", func(s *script) { s.must(s.WriteRSTStream(1, http2.ErrCodeEnhanceYourCalm)) }, codes.ResourceExhausted, "code 11"},
	{"insecure", func(s *script) { s.must(s.WriteRSTStream(1, http2.ErrCodeInadequateSecurity)) }, codes.PermissionDenied, "code 12"},
	{"going away before", func(s *script) { s.must(s.WriteGoAway(0, http2.ErrCodeNo, []byte("later"))) }, codes.Unavailable, "later"},
	{"closed", func(*script) {}, codes.Unavailable, "EOF"},
	{"closed in the midst", func(s *script) { s.begin(); s.data(message("12345")[:8]) }, codes.Unavailable, "EOF"},
	{"closed within a frame", func(s *script) { _, err := s.conn.Write([]byte{0, 0, 9, 0, 0, 0, 0, 0, 1, 'x'}); s.must(err) }, codes.Unavailable, "EOF"},
	{"a long frame", func(s *script) { _, err := s.conn.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1}); s.must(err) }, codes.Unavailable, "65536 bytes"},
	{"a push", func(s *script) {
		s.must(s.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true}))
	}, codes.Unavailable, "push"},
	{"another stream", func(s *script) { s.must(s.WriteData(3, false, nil)) }, codes.Unavailable, "stream 3"},
	{"a window of another stream", func(s *script) { s.must(s.WriteWindowUpdate(3, 1)) }, codes.Unavailable, "stream 3"},
	{"a window that overflows", func(s *script) { s.must(s.WriteWindowUpdate(0, maxWindow)) }, codes.Unavailable, "window"},
	{"a window of 0 more", func(s *script) { s.must(s.WriteRawFrame(http2.FrameWindowUpdate, 0, 1, make([]byte, 4))) }, codes.Unavailable, "by 0"},
	{"a setting too large", func(s *script) {
		s.must(s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}))
	}, codes.Unavailable, "2147483648"},
	{"settings cut off", func(s *script) { s.must(s.WriteRawFrame(http2.FrameSettings, 0, 0, []byte{1})) }, codes.Unavailable, "settings"},
	{"a short ping", func(s *script) { s.must(s.WriteRawFrame(http2.FramePing, 0, 0, []byte{1})) }, codes.Unavailable, "ping"},
	{"a short GOAWAY", func(s *script) { s.must(s.WriteRawFrame(http2.FrameGoAway, 0, 0, []byte{1})) }, codes.Unavailable, "GOAWAY"},
	{"a short reset", func(s *script) { s.must(s.WriteRawFrame(http2.FrameRSTStream, 0, 1, []byte{1})) }, codes.Unavailable, "in place of 4"},
	{"padding longer than its frame", func(s *script) { s.must(s.WriteRawFrame(http2.FrameData, flagPadded, 1, []byte{9})) }, codes.Unavailable, "padding"},
	{"padding without a length", func(s *script) { s.must(s.WriteRawFrame(http2.FrameData, flagPadded, 1, nil)) }, codes.Unavailable, "pad length"},
	{"priority cut off", func(s *script) { s.must(s.WriteRawFrame(http2.FrameHeaders, flagPriority, 1, []byte{9})) }, codes.Unavailable, "priority"},
	{"headers that are none", func(s *script) {
		s.must(s.WriteRawFrame(http2.FrameHeaders, flagEndHeaders, 1, []byte{0xff, 0xff, 0xff}))
	}, codes.Unavailable, "headers"},
	{"data before headers", func(s *script) { s.data(message("x")) }, codes.Unavailable, "before the headers"},
	{"headers twice", func(s *script) { s.begin(); s.begin() }, codes.Unavailable, "in the midst"},
	{"a continuation of nothing", func(s *script) { s.must(s.WriteContinuation(1, true, nil)) }, codes.Unavailable, "out of turn"},
	{"data within headers", func(s *script) {
		s.must(s.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}}))
		s.data(nil)
	}, codes.Unavailable, "out of turn"},
	{"headers without end", func(s *script) {
		s.must(s.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x88}}))
		for range maxHeaderBlock/maxFrame + 1 {
			if s.WriteContinuation(1, false, make([]byte, maxFrame)) != nil {
				return // the client has gone
			}
		}
	}, codes.Unavailable, "headers of more than"},
}

func TestWays(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			socket := serve(t, func(s *script) {
				s.AllowIllegalWrites = true
				s.must(s.WriteSettings())
				s.ask(prefixLength + len("ask"))
				if string(s.request) != string(message("ask")) {
					t.Errorf("asked %q", s.request)
				}
				w.do(s)
				s.hangUp()
			})
			got, err := Call(soon(t), socket, method, []byte("ask"))
			if w.code == codes.OK {
				if err != nil || string(got) != w.part {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			wantStatus(t, err, w.code, w.part)
		})
	}
}

func TestNotHTTP2(t *testing.T) {
	for name, text := range map[string]string{"HTTP/1": "HTTP/1.1 400 Bad Request\r\n\r\n", "another frame first": "\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678", "nothing": ""} {
		socket := serve(t, func(s *script) {
			_, err := s.conn.Write([]byte(text))
			s.must(err)
		})
		_, err := Call(soon(t), socket, method, nil)
		wantStatus(t, err, codes.Unavailable)
		t.Log(name, err)
	}
}

// A server may shrink the window of streams that are open, below 0 as well, and
// the client may not send a byte more than it was given.
func TestWindows(t *testing.T) {
	const size = firstWindow + 5000
	socket := serve(t, func(s *script) {
		setWindow := func(n uint32) { s.must(s.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: n})) }
		quiet := func(want int) { // the client has sent what it may, and then answers a ping
			s.must(s.WritePing(false, [8]byte{7}))
			for {
				f, err := s.ReadFrame()
				if err != nil {
					t.Errorf("waiting for the ping: %v", err)
					return
				}
				switch f := f.(type) {
				case *http2.DataFrame:
					s.request = append(s.request, f.Data()...)
				case *http2.PingFrame:
					if len(s.request) != want {
						t.Errorf("sent %d bytes, may %d", len(s.request), want)
					}
					return
				}
			}
		}
		setWindow(100)
		quiet(firstWindow) // sent before the settings came: the window is now below 0
		s.must(s.WriteWindowUpdate(0, 1<<20))
		quiet(firstWindow)
		s.must(s.WriteWindowUpdate(1, firstWindow-100))
		quiet(firstWindow)
		s.must(s.WriteWindowUpdate(1, 1))
		quiet(firstWindow + 1)
		setWindow(101)
		quiet(firstWindow + 2)
		setWindow(firstWindow)
		quiet(size + prefixLength)
		if string(s.request) != string(message(strings.Repeat("w", size))) {
			t.Error("another request than the client's")
		}
		s.fine("good")
	})
	got, err := Call(soon(t), socket, method, []byte(strings.Repeat("w", size)))
	if err != nil || string(got) != "good" {
		t.Errorf("%q, %v", got, err)
	}
}

// A server that knows enough answers before it has been sent all.
func TestEarlyAnswer(t *testing.T) {
	var read int64
	t.Cleanup(func() { // after the server's end
		if read > firstWindow+1000 {
			t.Errorf("sent %d bytes, may %d and their frames", read, firstWindow)
		}
	})
	socket := serve(t, func(s *script) {
		s.must(s.WriteSettings())
		s.headers(true, ":status", "200", "content-type", "application/grpc", "grpc-status", "3", "grpc-message", "too long")
		read, _ = io.Copy(io.Discard, s.conn) // until the client has gone
	})
	_, err := Call(soon(t), socket, method, []byte(strings.Repeat("w", 1<<20)))
	wantStatus(t, err, codes.InvalidArgument, "too long")
}

func TestTimeouts(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1: "1n", 99999999: "99999999n", 100000000: "100000u", 100000001: "100001u", 5 * time.Second: "5000000u", 20 * time.Second: "20000000u",
		99999999*time.Microsecond + 1: "100000m", 30 * time.Hour: "108000S", 1<<63 - 1: "2562048H",
	} {
		if got := encodeTimeout(d); got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	}
}

func TestStatusOf(t *testing.T) {
	if s := StatusOf(fmt.Errorf("around: %w", failed(codes.NotFound, "x"))); s.Code != codes.NotFound || s.Message != "x" {
		t.Error(s)
	}
	if s := StatusOf(io.EOF); s.Code != codes.Unknown || StatusOf(nil).Code != codes.OK {
		t.Error(s)
	}
}
