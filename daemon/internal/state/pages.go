package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// bbolt trusts its pages: from a damaged one it reads beyond the file's mapping
// or panics in a goroutine of its own, and nobody can recover from either. So
// what is reachable from the root is looked at before bbolt is. The layout is
// that of bbolt 1.5: a page has a header, its elements, and then their keys and
// values without a gap, which makes most damage show.

const (
	branchPage = 1
	leafPage   = 2
	bucketElem = 1 // flag of a leaf element whose value is a bucket
	elemSize   = 16
	bucketSize = 16 // of the header of a bucket
	noFreelist = ^uint64(0)
	maxDepth   = 16 // a tree of millions of keys has 5 levels
)

// image is a whole file.
type image struct {
	raw   []byte
	size  uint64 // of a page, bytes
	pages uint64 // that the meta page names
	seen  map[uint64]bool
}

// tree walks a bucket's tree from its page. Keys are from the first one given to
// before the second; nil is none. Only the root bucket has buckets in it, and nothing else.
func (im *image) tree(id uint64, root bool, least, most []byte, depth int) error {
	if id < 2 || id >= im.pages || im.seen[id] || depth > maxDepth {
		return fmt.Errorf("page %d is out of place", id)
	}
	raw := im.raw[id*im.size:]
	overflow := uint64(binary.NativeEndian.Uint32(raw[12:]))
	if binary.NativeEndian.Uint64(raw) != id || overflow >= im.pages-id {
		return fmt.Errorf("page %d has a wrong header", id)
	}
	for i := id; i <= id+overflow; i++ {
		if im.seen[i] {
			return fmt.Errorf("page %d is used twice", i)
		}
		im.seen[i] = true
	}
	p, err := parsePage(raw[:(overflow+1)*im.size])
	if err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if want := (p.used + im.size - 1) / im.size; want != overflow+1 {
		return fmt.Errorf("page %d has %d bytes on %d pages", id, p.used, overflow+1)
	}
	return im.elements(p, root, least, most, depth)
}

// elements looks at what a page has.
func (im *image) elements(p page, root bool, least, most []byte, depth int) error {
	for i, e := range p.elems {
		if i > 0 && bytes.Compare(p.elems[i-1].key, e.key) >= 0 || bytes.Compare(e.key, least) < 0 || most != nil && bytes.Compare(e.key, most) >= 0 {
			return fmt.Errorf("the key %q is out of order", e.key)
		}
		switch {
		case p.branch:
			next := most
			if i+1 < len(p.elems) {
				next = p.elems[i+1].key
			}
			if err := im.tree(e.child, root, e.key, next, depth+1); err != nil {
				return err
			}
		case root != (e.flags == bucketElem) || e.flags > bucketElem:
			return fmt.Errorf("the key %q has the flags %d", e.key, e.flags)
		case root:
			if err := im.bucket(e.value, depth); err != nil {
				return fmt.Errorf("bucket %q: %w", e.key, err)
			}
		}
	}
	return nil
}

// bucket looks into a bucket: a small one lies in its value, behind the header.
func (im *image) bucket(value []byte, depth int) error {
	if len(value) < bucketSize {
		return errors.New("its header is cut off")
	}
	if id := binary.NativeEndian.Uint64(value); id != 0 {
		return im.tree(id, false, nil, nil, depth+1)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader {
		return errors.New("its page is cut off")
	}
	if binary.NativeEndian.Uint64(inline) != 0 || binary.NativeEndian.Uint32(inline[12:]) != 0 {
		return errors.New("its page has a wrong header")
	}
	p, err := parsePage(inline)
	switch {
	case err != nil:
		return err
	case p.branch || p.used != uint64(len(inline)):
		return fmt.Errorf("its page has %d bytes of %d", p.used, len(inline))
	}
	return im.elements(p, false, nil, nil, depth)
}

// page is one as bbolt lays it out.
type page struct {
	branch bool
	elems  []element
	used   uint64 // bytes
}

type element struct {
	flags      uint32
	child      uint64 // of a branch page
	key, value []byte // a branch page has no values
}

// parsePage reads a page from its first byte to, at most, the end of raw.
func parsePage(raw []byte) (page, error) {
	flags, count := binary.NativeEndian.Uint16(raw[8:]), uint64(binary.NativeEndian.Uint16(raw[10:]))
	p := page{branch: flags == branchPage, used: pageHeader + count*elemSize}
	if flags != branchPage && flags != leafPage || p.branch && count == 0 || p.used > uint64(len(raw)) {
		return page{}, fmt.Errorf("flags %d and %d elements do not go together", flags, count)
	}
	for i := range count {
		at := pageHeader + i*elemSize
		e := raw[at : at+elemSize]
		word := func(n int) uint64 { return uint64(binary.NativeEndian.Uint32(e[n:])) }
		var out element
		pos, keys, values := word(4), word(8), word(12)
		if p.branch {
			pos, keys, values = word(0), word(4), 0
			out.child = binary.NativeEndian.Uint64(e[8:])
		} else {
			out.flags = uint32(word(0)) //nolint:gosec // it was one
		}
		if at+pos != p.used || keys == 0 || p.used+keys+values > uint64(len(raw)) {
			return page{}, fmt.Errorf("element %d does not lie where it should", i)
		}
		out.key, out.value = raw[p.used:p.used+keys], raw[p.used+keys:p.used+keys+values]
		p.used += keys + values
		p.elems = append(p.elems, out)
	}
	return p, nil
}
