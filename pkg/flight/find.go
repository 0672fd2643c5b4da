package flight

import (
	"bytes"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// How far back Find looks, in bytes, at how much of it at once, and how long ago a
// record may have ended: plugins of one chain follow one another within
// milliseconds, upstream's between them take some more, and 110 chains at once
// write some 200 KB meanwhile.
const (
	lookBack = 256 << 10
	chunk    = 32 << 10
	maxAge   = 10 * time.Second
)

// Find is the trace that the plugins before have begun for this call of the
// chain: that of the newest record of the attachment with the same verb. The
// parent is the span under which they stand. None is found where that trace has
// a record of this plugin already: the runtime has called the chain again.
func (p Pen) Find(a vpcnet.Attachment, verb, plugin string, now time.Time) (parent Traceparent, ok bool) {
	s := search{key: Record{Verb: verb, Attachment: a}.key(), plugin: plugin, since: now.Add(-maxAge), left: lookBack}
	s.file(p.fd)
	if !s.done && s.left > 0 { // what came before has just been rotated
		fd, err := unix.Open(filepath.Join(p.r.Dir, rotated), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err == nil {
			s.file(fd)
			_ = unix.Close(fd)
		}
	}
	return s.parent, !s.parent.IsZero() && !s.again
}

// search goes backwards through the newest records.
type search struct {
	key    []byte
	plugin string
	since  time.Time
	left   int64 // to look at, bytes
	buf    []byte

	parent Traceparent // of the attachment's newest trace; zero: none was seen
	again  bool        // the plugin is in that trace
	done   bool        // all of it was seen, or what comes is too old
}

// file looks at a file from its end on. A chunk ends where a line does.
func (s *search) file(fd int) {
	var st unix.Stat_t
	if fd < 0 || unix.Fstat(fd, &st) != nil {
		return
	}
	if s.buf == nil {
		s.buf = make([]byte, chunk)
	}
	for end := st.Size; end > 0 && s.left > 0 && !s.done; {
		begin := max(0, end-chunk)
		n, err := unix.Pread(fd, s.buf[:end-begin], begin)
		if err != nil || int64(n) != end-begin {
			return
		}
		raw := s.buf[:n]
		if begin > 0 { // the first line may be a part of one
			cut := bytes.IndexByte(raw, '\n') + 1
			raw, begin = raw[cut:], begin+int64(cut)
		}
		if len(raw) == 0 {
			return // there is no line of that length
		}
		s.lines(raw)
		s.left, end = s.left-(end-begin), begin
	}
}

// lineHead is what a line has before its traceparent.
const lineHead = `{"traceparent":"`

// lines looks at whole lines, the newest first. What it compares stands at the
// same place in each: a search for the id through all bytes takes three times as
// long, and would be most of what a plugin pays for its trace.
func (s *search) lines(raw []byte) {
	const at = len(lineHead) + traceparentLength + 1
	var mine [][]byte
	var oldest []byte
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 0 {
			break // it is not written to its end yet
		}
		l := raw[:end]
		raw = raw[end+1:]
		if len(l) < at {
			continue
		}
		if oldest == nil {
			oldest = l
		}
		if bytes.HasPrefix(l[at:], s.key) {
			mine = append(mine, l)
		}
	}
	for _, l := range slices.Backward(mine) {
		s.look(l, string(l[len(lineHead):at-1]))
	}
	if oldest != nil && written(oldest).Before(s.since) {
		s.done = true
	}
}

// look takes a record of the attachment and verb.
func (s *search) look(l []byte, traceparent string) {
	own, ok := Parse(traceparent)
	if !ok || s.done || string(field(l, "kind")) != string(Plugin) || !s.parent.IsZero() && own.Trace != s.parent.Trace {
		return
	}
	var above SpanID
	p := field(l, "parent")
	rooted := len(p) == 0
	if !rooted && (len(p) != 2*len(above) || !lowerHex(above[:], string(p))) {
		return
	}
	if s.parent.IsZero() {
		if written(l).Before(s.since) {
			s.done = true
			return
		}
		if s.parent = own; !rooted {
			s.parent.Span = above
		}
	}
	s.again = s.again || string(field(l, "name")) == s.plugin
	s.done = rooted || s.again
}

// written is when a line was, by what it says.
func written(l []byte) time.Time {
	start, _ := strconv.ParseInt(string(field(l, "start")), 10, 64) // 0 of what is no number
	took, _ := strconv.ParseInt(string(field(l, "ns")), 10, 64)
	return time.Unix(0, start+took)
}

// field is the value of a key in a line, without quotes; nil for none. No text of
// a record can look like a key, because its quotes have a backslash before them.
func field(l []byte, key string) []byte {
	at := bytes.Index(l, []byte(`,"`+key+`":`))
	if at < 0 {
		return nil
	}
	v := l[at+len(key)+4:]
	v = bytes.TrimPrefix(v, []byte{'"'})
	if end := bytes.IndexAny(v, `",}`); end >= 0 {
		v = v[:end]
	}
	return v
}

// key is the part of a line by which an attachment's records of a verb are found.
// It follows the traceparent.
func (r Record) key() []byte {
	b := appendText(nil, "containerID", r.Attachment.ContainerID, maxName)
	b = appendText(b, "ifname", r.Attachment.IfName, maxName)
	b = appendText(b, "verb", r.Verb, maxName)
	return appendText(b, "network", r.Attachment.Network, maxName)
}
