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

// Find is the trace that the plugins before have begun for this call of the
// chain: that of the newest record of the attachment with the same verb. The
// parent is the span under which they stand. None is found where that trace has
// a record of this plugin already: the runtime has called the chain again.
func (p Pen) Find(a vpcnet.Attachment, verb, plugin string, now time.Time) (parent Traceparent, ok bool) {
	var st unix.Stat_t
	if p.fd < 0 || unix.Fstat(p.fd, &st) != nil {
		return Traceparent{}, false
	}
	var s search
	for _, look := range []int64{firstLook, lastLook} {
		raw := tail(p.fd, st.Size, look)
		if st.Size < look { // what came before has just been rotated
			raw = append(p.r.before(look-st.Size), raw...)
		}
		if s = searched(raw, a, verb, plugin, now); s.rooted || s.again || reachesBack(raw, now.Add(-maxAge)) {
			break
		}
	}
	return s.parent, !s.parent.IsZero() && !s.again
}

// How far back Find looks, in bytes, and how long ago a record may have ended:
// plugins of one chain follow one another within milliseconds, upstream's between
// them take some more, and 110 chains at once write some 200 KB meanwhile.
const (
	firstLook = 32 << 10
	lastLook  = 256 << 10
	maxAge    = 10 * time.Second
)

// reachesBack tells whether the first whole line of raw is older than that: what
// stands before it is older still.
func reachesBack(raw []byte, then time.Time) bool {
	_, raw, _ = bytes.Cut(raw, []byte{'\n'})
	first, _, _ := bytes.Cut(bytes.TrimLeft(raw, "\n"), []byte{'\n'})
	return len(first) > 0 && written(first).Before(then)
}

// written is when a line was, by what it says.
func written(l []byte) time.Time {
	start, _ := strconv.ParseInt(string(field(l, "start")), 10, 64) // 0 of what is no number
	took, _ := strconv.ParseInt(string(field(l, "ns")), 10, 64)
	return time.Unix(0, start+took)
}

// search is what the end of a file says of an attachment's newest trace.
type search struct {
	parent Traceparent // zero: there is none
	rooted bool        // it begins here: all its records were seen
	again  bool        // the plugin is among them
}

// searched looks at the bytes: encoding/json takes 0.1 ms for the first value of a
// type. No text of a record can look like a key, because its quotes have a
// backslash before them.
func searched(raw []byte, a vpcnet.Attachment, verb, plugin string, now time.Time) search {
	var s search
	newestFirst := lines(raw, Record{Verb: verb, Attachment: a}.key())
	slices.Reverse(newestFirst)
	for _, l := range newestFirst {
		head, ok := bytes.CutPrefix(l, []byte(`{"traceparent":"`))
		if !ok || len(head) < traceparentLength || string(field(l, "kind")) != string(Plugin) {
			continue
		}
		own, ok := Parse(string(head[:traceparentLength]))
		if !ok || !s.parent.IsZero() && own.Trace != s.parent.Trace {
			continue
		}
		var above SpanID
		p := field(l, "parent")
		rooted := len(p) == 0
		if !rooted && (len(p) != 2*len(above) || !lowerHex(above[:], string(p))) {
			continue
		}
		if s.parent.IsZero() {
			if now.Sub(written(l)) > maxAge {
				return s
			}
			if s.parent = own; !rooted {
				s.parent.Span = above
			}
		}
		s.rooted = s.rooted || rooted
		s.again = s.again || string(field(l, "name")) == plugin
	}
	return s
}

// shortNeedle is what bytes.Index looks for in 32 bytes at a time; longer ones
// take ten times as long.
const shortNeedle = 32

// lines are those that have the key, oldest first. The first of raw may be a part of one.
func lines(raw, key []byte) [][]byte {
	needle := key[max(0, len(key)-shortNeedle):] // it ends with what attachments differ in
	var out [][]byte
	for {
		at := bytes.Index(raw, needle)
		if at < 0 {
			return out
		}
		begin, end := bytes.LastIndexByte(raw[:at], '\n')+1, at+bytes.IndexByte(raw[at:], '\n')
		if end < at {
			return out // its end is not written yet
		}
		if bytes.Contains(raw[begin:end], key) {
			out = append(out, raw[begin:end])
		}
		raw = raw[end:]
	}
}

// field is the value of a key in a line, without quotes; nil for none.
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

// tail reads the end of a file of that size.
func tail(fd int, size, most int64) []byte {
	n := min(size, most)
	raw := make([]byte, n)
	got, err := unix.Pread(fd, raw, size-n)
	if err != nil {
		return nil
	}
	return raw[:got]
}

// before reads the end of the file that was rotated last.
func (r Recorder) before(most int64) []byte {
	fd, err := unix.Open(filepath.Join(r.Dir, rotated), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return nil
	}
	return tail(fd, st.Size, most)
}

// key is the part of a line by which an attachment's records of a verb are found.
func (r Record) key() []byte {
	b := appendText(nil, "verb", r.Verb, maxName)
	b = appendText(b, "network", r.Attachment.Network, maxName)
	b = appendText(b, "containerID", r.Attachment.ContainerID, maxName)
	return appendText(b, "ifname", r.Attachment.IfName, maxName)
}
