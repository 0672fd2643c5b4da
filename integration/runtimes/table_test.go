package runtimes

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// column is a column of docs/compatibility.md.
type column string

const (
	colADD       column = "ADD"
	colDEL       column = "DEL"
	colCHECK     column = "CHECK"
	colSTATUS    column = "STATUS"
	colGC        column = "GC"
	colPortmap   column = "portmap"
	colBandwidth column = "bandwidth"
	colGroups    column = "security groups"
)

func columns() []column {
	return []column{colADD, colDEL, colCHECK, colSTATUS, colGC, colPortmap, colBandwidth, colGroups}
}

// row is what one suite saw, by column.
type row map[column]string

const compatibility = "../../docs/compatibility.md"

// line is the row as the document has it.
func (r row) line(name string) string {
	cells := []string{name}
	for _, c := range columns() {
		cell := r[c]
		if cell == "" {
			cell = "**not seen**"
		}
		cells = append(cells, cell)
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// publish compares the row with the document, or with -update writes it there.
// A suite writes or compares its own row alone, so that one can be run alone.
func (r row) publish(t *testing.T, name string) {
	t.Helper()
	raw, err := os.ReadFile(compatibility)
	if err != nil {
		t.Fatal(err)
	}
	want := r.line(name)
	if strings.Contains(want, "not seen") {
		t.Errorf("the suite does not know enough for the table: %s", want)
		return
	}
	lines := strings.Split(string(raw), "\n")
	product, _, _ := strings.Cut(name, ".")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "| "+product+".") })
	switch {
	case i >= 0 && lines[i] == want:
		return
	case !*update:
		t.Errorf("%s is not what was seen; `make test-runtimes UPDATE=-update` writes it:\n%s", compatibility, want)
		return
	case i >= 0:
		lines[i] = want
	default:
		rule := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "|---") })
		if rule < 0 {
			t.Fatalf("%s has no table", compatibility)
		}
		lines = slices.Insert(lines, rule+1, want)
	}
	if err := os.WriteFile(compatibility, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	fmt.Println("wrote", compatibility, "row", name)
}

// The head of the table is that of the suites.
func TestTableHead(t *testing.T) {
	raw, err := os.ReadFile(compatibility)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range columns() {
		names = append(names, string(c))
	}
	if head := "\n| runtime | " + strings.Join(names, " | ") + " |\n|---|"; !strings.Contains(string(raw), head) {
		t.Errorf("%s has no line %s", compatibility, head)
	}
}
