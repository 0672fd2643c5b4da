package cri

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a protobuf message in its encoding; each method appends one field
// and leaves out what is zero, as proto3 does.
type message []byte

func (m message) text(n protowire.Number, s string) message {
	if s == "" {
		return m
	}
	return protowire.AppendString(protowire.AppendTag(m, n, protowire.BytesType), s)
}

func (m message) texts(n protowire.Number, all ...string) message {
	for _, s := range all {
		m = protowire.AppendString(protowire.AppendTag(m, n, protowire.BytesType), s)
	}
	return m
}

func (m message) number(n protowire.Number, v uint64) message {
	if v == 0 {
		return m
	}
	return protowire.AppendVarint(protowire.AppendTag(m, n, protowire.VarintType), v)
}

func (m message) inner(n protowire.Number, v message) message {
	return protowire.AppendBytes(protowire.AppendTag(m, n, protowire.BytesType), v)
}

// pairs appends a map<string, string>: entries with the key as field 1 and the value as field 2.
func (m message) pairs(n protowire.Number, all map[string]string) message {
	for _, k := range slices.Sorted(maps.Keys(all)) {
		m = m.inner(n, message(nil).texts(1, k).texts(2, all[k]))
	}
	return m
}

// answer is a decoded message: the values of each field in their order.
type answer map[protowire.Number][]value

type value struct {
	number uint64
	bytes  []byte
}

// read decodes one level of a message. One that is cut short is an error.
func read(raw []byte) (answer, error) {
	out := answer{}
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return nil, fmt.Errorf("reading the runtime's answer: %w", protowire.ParseError(n))
		}
		raw = raw[n:]
		var v value
		switch kind {
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(raw)
		case protowire.VarintType:
			v.number, n = protowire.ConsumeVarint(raw)
		default:
			n = protowire.ConsumeFieldValue(number, kind, raw)
		}
		if n < 0 {
			return nil, fmt.Errorf("reading the runtime's answer: %w", protowire.ParseError(n))
		}
		raw = raw[n:]
		out[number] = append(out[number], v)
	}
	return out, nil
}

func (a answer) text(n protowire.Number) string {
	if v := a[n]; len(v) > 0 {
		return string(v[len(v)-1].bytes)
	}
	return ""
}

func (a answer) number(n protowire.Number) uint64 {
	if v := a[n]; len(v) > 0 {
		return v[len(v)-1].number
	}
	return 0
}

// inner decodes the messages of a field.
func (a answer) inner(n protowire.Number) ([]answer, error) {
	var out []answer
	for _, v := range a[n] {
		m, err := read(v.bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// pairs decodes a map<string, string>.
func (a answer) pairs(n protowire.Number) (map[string]string, error) {
	entries, err := a.inner(n)
	out := map[string]string{}
	for _, e := range entries {
		out[e.text(1)] = e.text(2)
	}
	return out, err
}
