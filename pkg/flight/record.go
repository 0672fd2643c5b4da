// Package flight is the flight recorder of a node: what the plugins and vpc-ipamd
// did, for which attachment, how long it took and why it failed, as spans of
// traces, one line of JSON each, in two files of bounded size. Who writes never
// waits, and never fails: where there is no directory, no space or no right to
// write there is no record, and the ADD goes on. The daemon makes the directory.
package flight

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Kind says what did the work of a span.
type Kind string

// The kinds.
const (
	Plugin Kind = "plugin" // a verb of a plugin: Name is the plugin's, Verb the runtime's word, Code CNI's number
	RPC    Kind = "rpc"    // a call that vpc-ipamd served: Name is the method, Code gRPC's word
	Wait   Kind = "wait"   // of such a call, for something that is not there yet: Name says for what, Links what made it
	Action Kind = "action" // of the daemon's loop, a trace of its own, for all that wait: Name is its kind
	EC2    Kind = "ec2"    // a call of EC2's API with its repetitions: Name is the API, Code EC2's error code
)

// Record is a span, or with Begin that one has begun: who is killed leaves only that.
type Record struct {
	Traceparent // of this span

	Parent     SpanID // zero: the first of its trace
	Begin      bool
	Kind       Kind
	Name       string
	Verb       string            // ADD, DEL, CHECK, GC
	Attachment vpcnet.Attachment // as far as there is one
	Pod        string            // namespace/name
	Start      time.Time
	Duration   time.Duration // 0 with Begin
	Code       string        // of the error; empty: none
	Error      string
	Text       string        // what was done, or waited for, in words
	RequestID  string        // EC2's
	Attempts   int           // of an EC2 call
	Links      []Traceparent // spans of other traces that this one waited for
}

// Bounds of a record's texts, in bytes of the line; what is longer is cut. With
// all of them at their bounds a record has less than MaxLine.
const (
	maxError = 1024
	maxText  = 512
	maxPod   = 320 // a namespace has 63 characters at most, a pod's name 253
	maxName  = 128 // of all others
	// MaxLinks is how many links a record has at most.
	MaxLinks = 8

	// MaxLine is the longest line, with its newline.
	MaxLine = 4096
)

// line is a record as it is read. Append writes the keys in this order, which
// Pen.Find relies on.
type line struct {
	Traceparent string   `json:"traceparent"`
	ContainerID string   `json:"containerID"`
	IfName      string   `json:"ifname"`
	Verb        string   `json:"verb"`
	Network     string   `json:"network"`
	Parent      string   `json:"parent"`
	Begin       bool     `json:"begin"`
	Kind        Kind     `json:"kind"`
	Name        string   `json:"name"`
	Pod         string   `json:"pod"`
	Start       int64    `json:"start"` // ns since 1970
	Duration    int64    `json:"ns"`
	Code        string   `json:"code"`
	Error       string   `json:"error"`
	Text        string   `json:"text"`
	RequestID   string   `json:"requestID"`
	Attempts    int      `json:"attempts"`
	Links       []string `json:"links"`
}

// Append adds the record's line to b. It is written by hand: encoding/json takes
// 0.07 ms for the first value of such a type, more than a plugin's records in all.
func (r Record) Append(b []byte) []byte {
	b = append(append(append(b, lineHead...), r.String()...), '"')
	b = append(b, r.key()...)
	if !r.Parent.IsZero() {
		b = appendText(b, "parent", r.Parent.String(), maxName)
	}
	if r.Begin {
		b = append(b, `,"begin":true`...)
	}
	b = appendText(b, "kind", string(r.Kind), maxName)
	b = appendText(b, "name", r.Name, maxName)
	b = appendText(b, "pod", r.Pod, maxPod)
	b = strconv.AppendInt(append(b, `,"start":`...), r.Start.UnixNano(), 10)
	if r.Duration != 0 {
		b = strconv.AppendInt(append(b, `,"ns":`...), int64(r.Duration), 10)
	}
	b = appendText(b, "code", r.Code, maxName)
	b = appendText(b, "error", r.Error, maxError)
	b = appendText(b, "text", r.Text, maxText)
	b = appendText(b, "requestID", r.RequestID, maxName)
	if r.Attempts != 0 {
		b = strconv.AppendInt(append(b, `,"attempts":`...), int64(r.Attempts), 10)
	}
	for i, l := range r.Links[:min(len(r.Links), MaxLinks)] {
		b = append(b, [2]string{`,"links":["`, `,"`}[min(i, 1)]...)
		b = append(append(b, l.String()...), '"')
	}
	if len(r.Links) > 0 {
		b = append(b, ']')
	}
	return append(b, '}', '\n')
}

// appendText adds a key with its text, unless that is empty.
func appendText(b []byte, key, text string, most int) []byte {
	if text == "" {
		return b
	}
	return appendQuoted(append(append(append(b, ',', '"'), key...), '"', ':'), text, most)
}

// appendQuoted adds a string of JSON that has at most so many bytes between its
// quotes. Control characters become spaces, what is not UTF-8 a question mark.
func appendQuoted(b []byte, s string, most int) []byte {
	b = append(b, '"')
	end := len(b) + most
	for i := 0; i < len(s); {
		c, n := utf8.DecodeRuneInString(s[i:])
		part := s[i : i+n]
		switch {
		case c == utf8.RuneError && n == 1:
			part = "?"
		case unicode.IsControl(c):
			part = " "
		case c == '"':
			part = `\"`
		case c == '\\':
			part = `\\`
		}
		if len(b)+len(part) > end {
			return append(b, '"')
		}
		b = append(b, part...)
		i += n
	}
	return append(b, '"')
}

// errNoRecord is a line that is none: of a disk that was full, or of another version.
var errNoRecord = errors.New("no record of the flight recorder")

// ParseLine reads one line. Keys that it does not know are ignored.
func ParseLine(raw []byte) (Record, error) {
	if len(raw) > MaxLine {
		return Record{}, fmt.Errorf("%w: longer than %d bytes", errNoRecord, MaxLine)
	}
	var l line
	if err := json.Unmarshal(bytes.TrimSpace(raw), &l); err != nil {
		return Record{}, fmt.Errorf("%w: %w", errNoRecord, err)
	}
	r := Record{
		Begin: l.Begin, Kind: l.Kind, Name: l.Name, Verb: l.Verb, Pod: l.Pod, Start: time.Unix(0, l.Start), Duration: time.Duration(l.Duration),
		Attachment: vpcnet.Attachment{Network: l.Network, ContainerID: l.ContainerID, IfName: l.IfName},
		Code:       l.Code, Error: l.Error, Text: l.Text, RequestID: l.RequestID, Attempts: l.Attempts,
	}
	var ok bool
	if r.Traceparent, ok = Parse(l.Traceparent); !ok || r.Kind == "" || l.Start <= 0 || l.Duration < 0 || l.Attempts < 0 || len(l.Links) > MaxLinks {
		return Record{}, errNoRecord
	}
	if l.Parent != "" && (len(l.Parent) != 2*len(r.Parent) || !lowerHex(r.Parent[:], l.Parent)) {
		return Record{}, errNoRecord
	}
	for _, text := range l.Links {
		link, ok := Parse(text)
		if !ok {
			return Record{}, errNoRecord
		}
		r.Links = append(r.Links, link)
	}
	return r, nil
}

// Failed tells whether the span ended with an error.
func (r Record) Failed() bool { return r.Code != "" || r.Error != "" }

// End is when the span ended.
func (r Record) End() time.Time { return r.Start.Add(r.Duration) }

// Who is the attachment as people write it: the pod where it has a name.
func (r Record) Who() string {
	if r.Pod != "" {
		return r.Pod
	}
	return strings.Trim(r.Attachment.String(), "/")
}
