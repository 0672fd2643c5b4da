package capture

import (
	"fmt"
	"io"
	"time"
)

// Table prints packets as rows under a header; times count from the first row.
type Table struct {
	w     io.Writer
	n     int
	start time.Time
}

// NewTable writes to w.
func NewTable(w io.Writer) *Table { return &Table{w: w} }

const row = "%-5v %-10v %-15v %-15v %-8v %-6v %v\n"

// Add prints one packet.
func (t *Table) Add(p Packet) {
	if t.n == 0 {
		t.start = p.Time
		fmt.Fprintf(t.w, row, "No.", "Time", "Source", "Destination", "Protocol", "Length", "Info")
	}
	t.n++
	info := p.Info
	if p.VLAN != 0 {
		info = fmt.Sprintf("802.1Q id=%d %s", p.VLAN, info)
	}
	fmt.Fprintf(t.w, row, t.n, fmt.Sprintf("%.6f", p.Time.Sub(t.start).Seconds()), p.Source.Addr(), p.Dest.Addr(), p.Protocol, p.Length, info)
}
