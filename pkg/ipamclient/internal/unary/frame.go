package unary

import (
	"encoding/binary"
	"fmt"
	"io"
)

// kind is the type of an HTTP/2 frame, RFC 9113 section 6.
type kind uint8

const (
	kindData         kind = 0x0
	kindHeaders      kind = 0x1
	kindReset        kind = 0x3
	kindSettings     kind = 0x4
	kindPush         kind = 0x5
	kindPing         kind = 0x6
	kindGoAway       kind = 0x7
	kindWindow       kind = 0x8
	kindContinuation kind = 0x9
)

// Flags of frames. Which of them a frame may have depends on its kind.
const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// Numbers of RFC 9113, sections 3.4, 4.2, 6.5.2 and 6.9.
const (
	preface               = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeader           = 9         // bytes
	maxFrame              = 16384     // bytes of payload, unless a side allows more; this one does not
	maxWindow             = 1<<31 - 1 // bytes
	firstWindow           = 65535     // bytes, of the connection and of each stream
	settingPush           = 0x2
	settingWindow         = 0x4
	resetCancel           = 0x8
	settingLength         = 6 // bytes
	priorityLength        = 5 // bytes
	prefixLength          = 5 // bytes before a gRPC message: compressed or not, length
	theStream             = 1 // a connection serves one call, the client's first stream
	maxHeaderBlock        = 1 << 20
	maxMessage            = 4 << 20 // bytes of an answer, as many as grpc-go takes
	streamMask     uint32 = 1<<31 - 1
)

// frame is one frame as received. Its payload is valid until the next is read.
type frame struct {
	kind    kind
	flags   uint8
	stream  uint32
	payload []byte
}

func (f frame) has(flag uint8) bool { return f.flags&flag != 0 }

// appendFrame adds a frame to what is to be written.
func appendFrame(b []byte, k kind, flags uint8, stream uint32, payload []byte) []byte {
	n := len(payload)
	b = append(b, byte(n>>16), byte(n>>8), byte(n), byte(k), flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(b, payload...)
}

// readFrame reads one frame into buf, which has room for maxFrame bytes.
func readFrame(r io.Reader, buf []byte) (frame, error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	if n > maxFrame {
		return frame{}, fmt.Errorf("a frame of %d bytes, more than %d", n, maxFrame)
	}
	f := frame{kind: kind(head[3]), flags: head[4], stream: binary.BigEndian.Uint32(head[5:]) & streamMask, payload: buf[:n]}
	_, err := io.ReadFull(r, f.payload)
	return f, err
}

// content is the payload of a DATA or HEADERS frame without padding and priority.
func (f frame) content() ([]byte, error) {
	p, pad := f.payload, 0
	if f.has(flagPadded) {
		if len(p) == 0 {
			return nil, fmt.Errorf("a padded frame without a pad length")
		}
		pad, p = int(p[0]), p[1:]
	}
	if f.kind == kindHeaders && f.has(flagPriority) {
		if len(p) < priorityLength {
			return nil, fmt.Errorf("a frame of %d bytes cannot hold its priority", len(f.payload))
		}
		p = p[priorityLength:]
	}
	if pad > len(p) {
		return nil, fmt.Errorf("a frame of %d bytes cannot hold %d of padding", len(f.payload), pad)
	}
	return p[:len(p)-pad], nil
}

// number is the payload of a frame that holds one of 32 bits.
func (f frame) number() (uint32, error) {
	if len(f.payload) != 4 {
		return 0, fmt.Errorf("a frame of kind %#x with %d bytes in place of 4", uint8(f.kind), len(f.payload))
	}
	return binary.BigEndian.Uint32(f.payload), nil
}
