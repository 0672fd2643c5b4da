package picture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpcchain/vpcchain/integration/lab"
)

const address = "http://127.0.0.1:61679/"

// told is what vpcctl says, in the page's words: by ENI and state how many
// addresses, and of each pod its address.
type told struct {
	Counts map[string]int            // by state, of the node
	ENIs   map[string]map[string]int // by id and state
	Pods   map[string]string         // namespace/name by address
	Status string
}

// pool is what is read of `vpcctl pool --json`.
type pool struct {
	ENIs []struct {
		ID        string        `json:"id"`
		Ready     bool          `json:"ready"`
		Addresses []poolAddress `json:"addresses"`
	} `json:"enis"`
	Lost    []poolAddress `json:"lost"`
	Waiters int           `json:"waiters"`
	Plan    []string      `json:"plan"`
}

type poolAddress struct {
	Address     string `json:"address"`
	State       string `json:"state"`
	Network     string `json:"network"`
	ContainerID string `json:"containerID"`
	IfName      string `json:"ifname"`
	Namespace   string `json:"namespace"`
	Pod         string `json:"pod"`
}

func readPool(t *testing.T, l *lab.Lab, node string) pool {
	t.Helper()
	out, err := l.Exec(t.Context(), node, l.Bin("vpcctl"), "pool", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var p pool
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p pool) told(status string) told {
	out := told{Counts: map[string]int{}, ENIs: map[string]map[string]int{}, Pods: map[string]string{}, Status: status}
	for _, e := range p.ENIs {
		n := map[string]int{}
		for _, a := range e.Addresses {
			state := a.State
			if state == "free" && !e.Ready {
				state = "not ready"
			}
			n[state]++
			out.Counts[state]++
			if a.ContainerID != "" {
				out.Pods[a.Address] = a.Namespace + "/" + a.Pod
			}
		}
		out.ENIs[e.ID] = n
	}
	return out
}

// shown is the page's, and where each slot of an ENI is in the window.
type shown struct {
	told
	Slots []slot
	Width int // of what there is to see, CSS pixels
	Lines []string
}

type slot struct {
	Class, Title string
	X, Y         float64
}

// reading takes the page apart in the browser.
const reading = `(() => {
  const text = e => e.textContent.trim().replace(/\s+/g, ' ');
  const out = {Counts: {}, ENIs: {}, Pods: {}, Slots: [], Width: document.documentElement.scrollWidth, Lines: [...document.querySelectorAll('#next p')].map(text)};
  out.Status = text(document.querySelector('#status b')).split(' ')[1];
  const names = {};
  for (const li of document.querySelectorAll('#counts li')) {
    const n = parseInt(li.querySelector('b').textContent);
    names[li.querySelector('g').getAttribute('class')] = li.dataset.state;
    if (n > 0 && li.dataset.state != 'unassigned') out.Counts[li.dataset.state] = n;
  }
  for (const eni of document.querySelectorAll('.eni')) {
    const n = out.ENIs[eni.id] = {};
    for (const g of eni.querySelectorAll('svg g')) {
      const name = names[g.getAttribute('class')], r = g.querySelector('rect').getBoundingClientRect();
      if (name != 'unassigned') n[name] = (n[name] || 0) + 1;
      out.Slots.push({Class: g.getAttribute('class'), Title: text(g.querySelector('title')), X: r.x + scrollX - 0.75, Y: r.y + scrollY - 0.75});
    }
  }
  for (const tr of document.querySelectorAll('#pods tbody tr')) out.Pods[text(tr.cells[1])] = tr.cells[0].firstChild.textContent.trim();
  return out;
})()`

// agree opens the page when nothing moves, and compares it with vpcctl.
func (b *browser) agree(l *lab.Lab, node string) shown {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	var page shown
	err := lab.Poll(ctx, func() error {
		before := readPool(b.t, l, node)
		b.open(address)
		page = shown{}
		b.eval(reading, &page)
		if after := readPool(b.t, l, node); cmp.Diff(before, after) != "" {
			return fmt.Errorf("the pool does not rest: %s", cmp.Diff(before, after))
		}
		// Its exit code tells the state as well: 3 and 4 are no failures here.
		out, _ := l.Exec(ctx, node, "sh", "-c", l.Bin("vpcctl")+" status --json || [ $? = 3 ] || [ $? = 4 ]")
		var status struct {
			State string `json:"state"`
		}
		if err := json.Unmarshal([]byte(out), &status); err != nil {
			return err
		}
		if diff := cmp.Diff(before.told(status.State), page.told); diff != "" {
			return fmt.Errorf("the page differs from vpcctl: %s", diff)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return page
}

// colours of the page in a theme.
type colours struct{ page, card, used, free, cool, held, off, ink color.RGBA }

func themes() map[string]colours {
	rgb := func(v uint32) color.RGBA { return color.RGBA{uint8(v >> 16), uint8(v >> 8), uint8(v), 255} } //nolint:gosec // its bytes
	return map[string]colours{
		"light": {rgb(0xffffff), rgb(0xf6f7f9), rgb(0x0072b2), rgb(0x009e73), rgb(0xb87800), rgb(0xc43d00), rgb(0x8a929c), rgb(0xffffff)},
		"dark":  {rgb(0x13161b), rgb(0x1c2027), rgb(0x56b4e9), rgb(0x27c498), rgb(0xf0b429), rgb(0xff8a5c), rgb(0x7b8490), rgb(0x10141a)},
	}
}

// point is a pixel of a slot, from its corner, and its colour.
type point struct {
	x, y int
	c    color.RGBA
}

// points are where the drawings of states differ from one another.
func (c colours) points(class string) []point {
	return map[string][]point{
		"used": {{4, 4, c.used}, {9, 4, c.used}, {4, 14, c.used}},
		"free": {{9, 9, c.free}, {4, 4, c.card}},
		"wait": {{9, 9, c.card}, {4, 4, c.card}},
		"cool": {{9, 9, c.cool}, {9, 3, c.card}},
		"held": {{4, 4, c.held}, {9, 6, c.ink}},
		"rsvd": {{9, 9, c.off}, {4, 4, c.card}},
		"none": {{9, 9, c.card}, {4, 4, c.card}},
	}[class]
}

// look compares a screenshot with where the slots are, for each size and theme.
func (b *browser) look(name string) {
	b.t.Helper()
	for _, width := range []int{1100, 360} {
		for theme, c := range themes() {
			b.size(width, 800)
			b.theme(theme)
			var page shown
			b.eval(reading, &page)
			if page.Width > width {
				b.t.Errorf("%s: at a width of %d px the page has %d", name, width, page.Width)
			}
			raw := b.shot()
			keep(b.t, fmt.Sprintf("%s-%d-%s.png", name, width, theme), raw)
			img, err := png.Decode(bytes.NewReader(raw))
			if err != nil {
				b.t.Fatal(err)
			}
			if !same(img.At(2, 2), c.page) {
				b.t.Errorf("%s, %s: the page's colour is %v", name, theme, img.At(2, 2))
			}
			b.slots(fmt.Sprintf("%s, %d px, %s", name, width, theme), img, page.Slots, c)
		}
	}
}

func (b *browser) slots(name string, img image.Image, slots []slot, c colours) {
	b.t.Helper()
	if len(slots) == 0 {
		b.t.Errorf("%s: no slot", name)
	}
	wrong := 0
	for _, s := range slots {
		points := c.points(s.Class)
		if len(points) == 0 {
			b.t.Fatalf("%s: nobody knows how %q looks", name, s.Class)
		}
		for _, p := range points {
			x, y := int(s.X+0.5)+p.x, int(s.Y+0.5)+p.y
			if got := img.At(x, y); !same(got, p.c) {
				if wrong++; wrong <= 5 {
					b.t.Errorf("%s: %s (%s) at %d,%d has %v at %d,%d of it, want %v", name, s.Class, s.Title, x-p.x, y-p.y, got, p.x, p.y, p.c)
				}
			}
		}
	}
	if wrong > 5 {
		b.t.Errorf("%s: %d pixels are wrong", name, wrong)
	}
}

// same tells that two colours are one, but for the edge of a shape that falls
// between two pixels.
func same(got color.Color, want color.RGBA) bool {
	r, g, b, _ := got.RGBA()
	near := func(have uint32, want uint8) bool { d := int(have>>8) - int(want); return d > -24 && d < 24 }
	return near(r, want.R) && near(g, want.G) && near(b, want.B)
}

// keep writes a screenshot where the caller wants to see it.
func keep(t *testing.T, name string, raw []byte) {
	t.Helper()
	if *shots == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(*shots, strings.ReplaceAll(name, " ", "-")), raw, 0o644); err != nil { //nolint:gosec // to be looked at
		t.Fatal(err)
	}
}
