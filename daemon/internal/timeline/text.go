package timeline

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vpcchain/vpcchain/pkg/flight"
)

// barWidth of a time line, in characters.
const barWidth = 24

// Print writes the time line of a call for people. Times of the day are in where.
func (c Call) Print(out io.Writer, where *time.Location) error {
	who := c.Attachment.String()
	if c.Attachment.ContainerID == "" {
		who = c.Attachment.Network
	}
	fmt.Fprintln(out, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s", c.Verb, who, c.Pod)), " "))
	fmt.Fprintf(out, "%s, %s ms, %s, trace %s\n", c.Start.In(where).Format("2006-01-02 15:04:05.000"), millis(c.Duration), c.State(), c.Trace)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "START ms\tTOOK ms\t\t")
	for _, s := range c.Spans {
		took := millis(s.Duration)
		if s.State == Open {
			took = "no end"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t  %s%s\n", millis(s.Start.Sub(c.Start)), took, c.bar(s), strings.Repeat("  ", s.Depth), s.words())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s ms between the plugins: the runtime, the start of processes, other plugins\n", millis(c.Between()))
	why, bad := c.Why()
	switch {
	case bad && why.State == Open:
		fmt.Fprintf(out, "%s began and did not end: it was killed, or runs still\n", why.Name)
	case bad:
		fmt.Fprintf(out, "%s failed with code %s: %s\n", why.Name, why.Code, why.Error)
	}
	return nil
}

// millis is a time in milliseconds, as long as a digit tells something.
func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms >= 1000 || ms <= -1000 {
		return fmt.Sprintf("%.0f", ms)
	}
	return fmt.Sprintf("%.2f", ms)
}

// bar shows when in the call the span was. What is outside of the call is not shown.
func (c Call) bar(s Span) string {
	at := func(d time.Duration) int {
		return int(min(barWidth, max(0, int64(d)*barWidth/max(1, int64(c.Duration)))))
	}
	from, to := at(s.Start.Sub(c.Start)), at(s.End().Sub(c.Start))
	fill, end := "=", ""
	if s.State == Open {
		end = "?"
	}
	if s.Shared {
		fill = "-"
	}
	from = min(from, barWidth-1)
	to = max(to, from+1)
	line := strings.Repeat(" ", from) + strings.Repeat(fill, to-from)
	if end != "" {
		line = line[:len(line)-1] + end
	}
	return "|" + line + strings.Repeat(" ", barWidth-to) + "|"
}

// words say what a span was.
func (s Span) words() string {
	var parts []string
	add := func(text string, when bool) {
		if when {
			parts = append(parts, text)
		}
	}
	switch s.Kind {
	case flight.Plugin:
		add(s.Name, true)
	case flight.RPC:
		add("RPC "+s.Name, true)
	case flight.Wait:
		add("waits: "+s.Text, true)
	case flight.Action:
		add("vpc-ipamd: "+cmp.Or(s.Text, s.Name), true)
	case flight.EC2:
		add("EC2 "+s.Name, true)
	default:
		add(string(s.Kind)+" "+s.Name, true)
	}
	add(s.Text, s.Text != "" && s.Kind != flight.Wait && s.Kind != flight.Action)
	add(fmt.Sprintf("%d attempts", s.Attempts), s.Attempts > 1)
	add("request "+s.RequestID, s.RequestID != "")
	if s.State == Failed {
		add("failed, "+s.Code, s.Code != "")
		if s.Kind != flight.Plugin && s.Error != "" { // a plugin's is the last line
			return strings.Join(parts, ", ") + ": " + s.Error
		}
	}
	return strings.Join(parts, ", ")
}

// List writes a line for each call.
func List(out io.Writer, calls []Call, where *time.Location) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TIME\tVERB\tMS\tRESULT\tCONTAINER\tIFNAME\tNETWORK\tPOD")
	for _, c := range calls {
		result := string(c.State())
		switch why, _ := c.Why(); c.State() {
		case Failed:
			result = why.Name + ": " + why.Code
		case Open:
			result = why.Name + " has not ended"
		}
		a := c.Attachment
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Start.In(where).Format("15:04:05.000"), c.Verb, millis(c.Duration), result,
			dash(short(a.ContainerID)), dash(a.IfName), a.Network, dash(c.Pod))
	}
	return t.Flush()
}

// short is as much of a container's id as runtimes show.
func short(id string) string { return id[:min(len(id), 13)] }

func dash(s string) string { return cmp.Or(s, "-") }
