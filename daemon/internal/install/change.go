package install

// Change is one thing that an installation or its removal does, would do, or has
// to say. Its JSON names are stable.
type Change struct {
	// Kind is file, wait, kernel or note.
	Kind   string `json:"kind"`
	Action string `json:"action,omitempty"` // of a file: keep, copy, write, retire, remove, restore
	Path   string `json:"path,omitempty"`   // of the file, or of the socket that is waited for
	From   string `json:"from,omitempty"`   // of a copy
	Text   string `json:"text,omitempty"`   // a written file's content; the kernel object and what becomes of it; the note
	// WaitSeconds is how long vpc-ipamd is waited for at most.
	WaitSeconds float64 `json:"waitSeconds,omitempty"`

	line string
}

// String is the change as a line for people; of a written file, as its content too.
func (c Change) String() string { return c.line }

func note(text string) Change { return Change{Kind: "note", Text: text, line: "note: " + text} }

func inKernel(text string) Change { return Change{Kind: "kernel", Text: text, line: text} }

func (s step) change() Change {
	c := Change{Kind: "file", Path: s.path, line: s.String()}
	switch s.verb {
	case keep:
		c.Action = "keep"
	case put:
		c.Action, c.From = "copy", s.from
	case write:
		c.Action, c.Text = "write", string(s.data)
	case await:
		c.Kind, c.WaitSeconds = "wait", s.wait.Seconds()
	case retired:
		c.Action = "retire"
	case drop:
		c.Action = "remove"
	case restore:
		c.Action = "restore"
	}
	return c
}

// Changes are those of the plan, its notes at the end.
func (p Plan) Changes() []Change {
	out := []Change{}
	for _, s := range p.steps {
		out = append(out, s.change())
	}
	for _, n := range p.Notes {
		out = append(out, note(n))
	}
	return out
}
