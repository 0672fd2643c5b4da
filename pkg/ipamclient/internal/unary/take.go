package unary

import (
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
)

// take deals with one frame. An error of it breaks the connection; what ends
// the call alone is in c.final.
func (c *call) take(f frame) error {
	if !c.greeted && (f.kind != kindSettings || f.has(flagAck)) {
		return fmt.Errorf("the first frame is of kind %#x and not the settings: this is no HTTP/2 server", uint8(f.kind))
	}
	if c.blockAt.open != (f.kind == kindContinuation) {
		return fmt.Errorf("a frame of kind %#x out of turn with a block of headers", uint8(f.kind))
	}
	switch f.kind {
	case kindSettings:
		return c.takeSettings(f)
	case kindPing:
		if len(f.payload) != 8 {
			return fmt.Errorf("a ping of %d bytes", len(f.payload))
		}
		if !f.has(flagAck) {
			c.write(appendFrame(nil, kindPing, flagAck, 0, f.payload))
		}
		return nil
	case kindWindow:
		return c.takeWindow(f)
	case kindGoAway:
		return c.takeGoAway(f)
	case kindPush:
		return errors.New("a push that was not asked for")
	case kindData, kindHeaders, kindContinuation, kindReset:
		if f.stream != theStream {
			return fmt.Errorf("a frame of kind %#x on stream %d, which is not open", uint8(f.kind), f.stream)
		}
		return c.takeStream(f)
	}
	return nil // kinds to come are to be ignored
}

// takeSettings keeps what the server allows on a stream. The others of its
// settings bound what this side does not do: push, open streams, send long frames.
func (c *call) takeSettings(f frame) error {
	if f.has(flagAck) {
		return nil
	}
	if len(f.payload)%settingLength != 0 {
		return fmt.Errorf("settings of %d bytes", len(f.payload))
	}
	c.greeted = true
	for p := f.payload; len(p) > 0; p = p[settingLength:] {
		if binary.BigEndian.Uint16(p) != settingWindow {
			continue
		}
		n := binary.BigEndian.Uint32(p[2:])
		if n > maxWindow {
			return fmt.Errorf("a window of %d bytes", n)
		}
		added := int64(n) - firstWindow
		c.window += added - c.initial
		c.initial = added
	}
	c.write(c.appendData(appendFrame(nil, kindSettings, flagAck, 0, nil)))
	return nil
}

func (c *call) takeWindow(f frame) error {
	n, err := f.number()
	if err != nil {
		return err
	}
	window := &c.connWindow
	if f.stream == theStream {
		window = &c.window
	} else if f.stream != 0 {
		return fmt.Errorf("a window of stream %d, which is not open", f.stream)
	}
	*window += int64(n & streamMask)
	if n&streamMask == 0 || *window > maxWindow {
		return fmt.Errorf("a window changed by %d to %d bytes", n&streamMask, *window)
	}
	c.write(c.appendData(nil))
	return nil
}

// takeGoAway is about a server that shuts down: it answers what it has begun.
func (c *call) takeGoAway(f frame) error {
	if len(f.payload) < 8 {
		return fmt.Errorf("a GOAWAY of %d bytes", len(f.payload))
	}
	last, code := binary.BigEndian.Uint32(f.payload)&streamMask, binary.BigEndian.Uint32(f.payload[4:])
	if last < theStream {
		c.end(failed(codes.Unavailable, "the server shuts down and has not begun this call (code %d: %q)", code, f.payload[8:]))
	}
	return nil
}

func (c *call) takeStream(f frame) error {
	switch f.kind {
	case kindReset:
		n, err := f.number()
		if err != nil {
			return err
		}
		c.end(failed(byReset(n), "the server ended the call with HTTP/2 error code %d", n))
	case kindData:
		return c.takeData(f)
	case kindHeaders:
		p, err := f.content()
		if err != nil {
			return err
		}
		c.block, c.blockAt = append(c.block[:0], p...), headEnd{open: true, last: f.has(flagEndStream)}
		return c.takeBlock(f)
	case kindContinuation:
		c.block = append(c.block, f.payload...)
		return c.takeBlock(f)
	}
	return nil
}

// takeBlock reads a block of headers once it is whole.
func (c *call) takeBlock(f frame) error {
	if len(c.block) > maxHeaderBlock {
		return fmt.Errorf("headers of more than %d bytes", maxHeaderBlock)
	}
	if !f.has(flagEndHeaders) {
		return nil
	}
	c.blockAt.open = false
	h, err := decodeHeaders(c.decoder, c.block)
	if err != nil {
		return err
	}
	if !c.begun {
		if len(h.status) == 3 && h.status[0] == '1' && !c.blockAt.last {
			return nil // in between: the answer is still to come
		}
		c.begun, c.head = true, h
		if h.status != "200" || !isGRPC(h.contentType) {
			c.end(failed(byHTTP(h.status), "the answer has HTTP status %q and content type %q: this is no gRPC server", h.status, h.contentType))
			return nil
		}
	} else if !c.blockAt.last {
		return errors.New("headers in the midst of an answer")
	}
	if c.blockAt.last {
		c.end(byTrailers(h))
	}
	return nil
}

func (c *call) takeData(f frame) error {
	p, err := f.content()
	if err != nil {
		return err
	}
	if !c.begun {
		return errors.New("data before the headers")
	}
	c.body = append(c.body, p...)
	if len(c.body) >= prefixLength {
		if n := binary.BigEndian.Uint32(c.body[1:]); n > maxMessage {
			c.end(failed(codes.ResourceExhausted, "an answer of %d bytes, more than %d", n, maxMessage))
		} else if len(c.body)-prefixLength > int(n) {
			c.end(failed(codes.Internal, "more than one answer"))
		}
	}
	if f.has(flagEndStream) {
		c.end(failed(codes.Internal, "the server ended the call without a status"))
	}
	return nil
}

// end ends the call; the first end counts.
func (c *call) end(err *Error) {
	if !c.over {
		c.over, c.final = true, err
	}
}
