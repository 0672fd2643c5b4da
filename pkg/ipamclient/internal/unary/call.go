// Package unary makes unary gRPC calls over a unix socket, each on a connection
// of its own that the caller's goroutine serves: nothing runs in the background,
// and the whole request leaves in one write, before the server has said a word.
// It speaks as much of HTTP/2 as that takes. A process that makes one call and
// ends starts a millisecond earlier than with grpc-go, which any other program
// should use.
package unary

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// lastWords is how long a call whose context has ended tries to tell the server.
const lastWords = 50 * time.Millisecond

// Call sends a message to the method ("/package.Service/Method") of who listens
// on the socket and returns the answer. Its errors are of type *Error, with the
// codes of grpc-go: Unavailable when the connection cannot be made or breaks
// (the server may have done what it was asked), DeadlineExceeded and Canceled
// when ctx ends. Fields go with the request as metadata.
func Call(ctx context.Context, socket, method string, request []byte, fields ...Field) ([]byte, error) {
	if err := outOfTime(ctx); err != nil {
		return nil, err
	}
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		if end := outOfTime(ctx); end != nil {
			return nil, end
		}
		return nil, failed(codes.Unavailable, "%v", err)
	}
	defer func() { _ = nc.Close() }()
	// A deadline in the past wakes whoever reads or writes.
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c := &call{conn: nc, in: bufio.NewReader(nc), decoder: hpack.NewDecoder(4096, nil), window: firstWindow, connWindow: firstWindow}
	var timeout time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), 1)
	}
	answer, err := c.run(encodeHeaders(method, timeout, fields), request)
	if err == nil {
		return answer, nil
	}
	// The server counts the deadline too, and its reset may be here first.
	if end := outOfTime(ctx); end != nil && (!c.over || StatusOf(err).Code == codes.Canceled) {
		_ = nc.SetDeadline(time.Now().Add(lastWords))
		c.write(appendFrame(nil, kindReset, 0, theStream, []byte{0, 0, 0, resetCancel}))
		return nil, end
	}
	return nil, err
}

// outOfTime is how ctx ended, nil if it did not. The clock is asked as well: on
// a busy machine the context's timer fires late.
func outOfTime(ctx context.Context) error {
	err := ctx.Err()
	if deadline, ok := ctx.Deadline(); ok && err == nil && !time.Now().Before(deadline) {
		err = context.DeadlineExceeded
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{codes.DeadlineExceeded, err.Error()}
	}
	return &Error{codes.Canceled, err.Error()}
}

// call is a connection with its one stream.
type call struct {
	conn    net.Conn
	in      *bufio.Reader
	buf     [maxFrame]byte
	decoder *hpack.Decoder

	rest       []byte // of the request, not sent yet
	window     int64  // bytes that the server takes on the stream; less than 0 after a change of its settings
	connWindow int64  // likewise, on the connection
	initial    int64  // what the server's settings added to firstWindow
	broken     bool   // a write failed: what the server said before can still be read

	greeted bool    // the server's first settings have come
	block   []byte  // of headers, until END_HEADERS
	blockAt headEnd // what the block under way is
	head    headers // of the answer
	begun   bool    // head has come
	body    []byte  // prefix and message
	over    bool    // the server has ended the stream, or it was refused
	final   *Error  // how, nil for OK
}

// headEnd says where a block of headers stands.
type headEnd struct{ open, last bool }

// run sends the request and reads frames until the server has ended the stream.
func (c *call) run(block, request []byte) ([]byte, error) {
	if len(block) > maxFrame {
		return nil, failed(codes.Internal, "the request's headers have %d bytes, more than %d", len(block), maxFrame)
	}
	if uint64(len(request)) > maxWindow {
		return nil, failed(codes.ResourceExhausted, "a request of %d bytes is too long", len(request))
	}
	c.rest = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request))), request...)
	b := append(make([]byte, 0, 512+len(c.rest)), preface...)
	// No pushes; windows as wide as they can be, once and for all: what an answer
	// may have is bounded by maxMessage and maxHeaderBlock.
	b = appendFrame(b, kindSettings, 0, 0, []byte{0, settingPush, 0, 0, 0, 0, 0, settingWindow, 0x7f, 0xff, 0xff, 0xff})
	b = appendFrame(b, kindWindow, 0, 0, binary.BigEndian.AppendUint32(nil, maxWindow-firstWindow))
	b = appendFrame(b, kindHeaders, flagEndHeaders, theStream, block)
	c.write(c.appendData(b))
	for !c.over {
		f, err := readFrame(c.in, c.buf[:])
		if err != nil {
			return nil, failed(codes.Unavailable, "reading the answer: %v", err)
		}
		if err := c.take(f); err != nil {
			return nil, failed(codes.Unavailable, "reading the answer: %v", err)
		}
	}
	if c.final != nil {
		return nil, c.final
	}
	return c.message()
}

// appendData adds as much of the request as the windows allow.
func (c *call) appendData(b []byte) []byte {
	for len(c.rest) > 0 {
		n := min(int64(len(c.rest)), maxFrame, c.window, c.connWindow)
		if n <= 0 {
			return b
		}
		var flags uint8
		if n == int64(len(c.rest)) {
			flags = flagEndStream
		}
		b = appendFrame(b, kindData, flags, theStream, c.rest[:n])
		c.rest, c.window, c.connWindow = c.rest[n:], c.window-n, c.connWindow-n
	}
	return b
}

// write sends frames. That it fails shows at the next read: a server that
// answers and closes before it has read all is heard all the same.
func (c *call) write(b []byte) {
	if c.broken || len(b) == 0 {
		return
	}
	_, err := c.conn.Write(b)
	c.broken = err != nil
}

// message is the one that the server sent.
func (c *call) message() ([]byte, error) {
	if len(c.body) < prefixLength {
		return nil, failed(codes.Internal, "the server ended the call without an answer")
	}
	if c.body[0] != 0 {
		return nil, failed(codes.Internal, "the answer is compressed (%q), which was not asked for", c.head.encoding)
	}
	if n := binary.BigEndian.Uint32(c.body[1:]); uint64(n) != uint64(len(c.body)-prefixLength) {
		return nil, failed(codes.Internal, "the answer has %d bytes in place of %d", len(c.body)-prefixLength, n)
	}
	return c.body[prefixLength:], nil
}
