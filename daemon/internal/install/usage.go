package install

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Usage writes one line for each option.
func Usage(out io.Writer, options []Option) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, o := range options {
		def := o.Default
		if def == "" {
			def = "-"
		}
		fmt.Fprintf(t, "  --%s\t%s\t%s\t%s (%s)\n", o.Flag, strings.Join(o.Env, ", "), def, o.Effect, o.Allowed)
	}
	return t.Flush()
}
