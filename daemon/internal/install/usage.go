package install

import "strings"

// Value is what stands for the option's value in a usage; empty where none is needed.
func (o Option) Value() string {
	switch {
	case o.truth:
		return ""
	case o.Flag == "source" || strings.HasSuffix(o.Flag, "-dir"):
		return "DIR"
	case o.Flag == "socket":
		return "PATH"
	}
	return strings.ToUpper(o.Flag[strings.LastIndex(o.Flag, "-")+1:])
}

// Help is what the option does and what it may be, in a line.
func (o Option) Help() string {
	if o.truth {
		return o.Effect
	}
	return o.Effect + ": " + o.Allowed
}
