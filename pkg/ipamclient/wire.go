package ipamclient

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// The messages of ipam.proto that a plugin sends and reads, by hand: protobuf's
// generated code costs a plugin 0.8 ms at its start, before it does anything,
// and even its package protowire, which reads the binary's own file, 0.14 ms.

// Wire types of protobuf's encoding.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

// appendText adds a string field. The default, empty, is not sent.
func appendText(b []byte, field int, s string) []byte {
	if s == "" {
		return b
	}
	return appendMessage(b, field, []byte(s))
}

// appendMessage adds a field that is a message, also an empty one.
func appendMessage(b []byte, field int, m []byte) []byte {
	b = binary.AppendUvarint(b, uint64(field)<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(m)))
	return append(b, m...)
}

// appendMap adds a map<string, string>, whose entries are messages of key and value.
func appendMap(b []byte, field int, m map[string]string) []byte {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b = appendMessage(b, field, appendText(appendText(nil, 1, k), 2, m[k]))
	}
	return b
}

// field is one field as received: number is set of a varint, bytes of all that
// has a length.
type field struct {
	id     int
	wire   int
	number uint64
	bytes  []byte
}

var errCut = errors.New("the message is cut off")

// errGroup is about wire types 3 and 4, which proto3 does not have, and 6 and 7,
// which nobody has.
var errGroup = errors.New("the message has a field of a wire type that proto3 does not know")

// nextField reads a field, and returns what is behind it.
func nextField(b []byte) (field, []byte, error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 {
		return field{}, nil, errCut
	}
	b = b[n:]
	if id := tag >> 3; id < 1 || id > 1<<29-1 {
		return field{}, nil, fmt.Errorf("the message has the field number %d", id)
	}
	f := field{id: int(tag >> 3), wire: int(tag & 7)}
	size := 0
	switch f.wire {
	case wireVarint:
		if f.number, size = binary.Uvarint(b); size <= 0 {
			return field{}, nil, errCut
		}
		return f, b[size:], nil
	case wire64:
		size = 8
	case wire32:
		size = 4
	case wireBytes:
		length, n := binary.Uvarint(b)
		if n <= 0 || length > math.MaxInt32 {
			return field{}, nil, errCut
		}
		b, size = b[n:], int(length)
	default:
		return field{}, nil, errGroup
	}
	if size > len(b) {
		return field{}, nil, errCut
	}
	f.bytes = b[:size]
	return f, b[size:], nil
}

// target is where a field goes; one of them is set.
type target struct {
	text    *string
	number  *uint32
	message func([]byte) error // again for the same field merges, as protobuf wants
}

// read puts the fields of a message where they belong. Those of other numbers,
// and of another wire type than the contract's, are of a newer daemon: skipped.
func read(b []byte, fields map[int]target) error {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		b = rest
		to := fields[f.id]
		switch {
		case f.wire == wireVarint && to.number != nil:
			*to.number = uint32(f.number) // as protobuf does: the lower bits
		case f.wire == wireBytes && to.text != nil:
			if !utf8.Valid(f.bytes) {
				return fmt.Errorf("field %d is not UTF-8", f.id)
			}
			*to.text = string(f.bytes)
		case f.wire == wireBytes && to.message != nil:
			if err := to.message(f.bytes); err != nil {
				return err
			}
		}
	}
	return nil
}
