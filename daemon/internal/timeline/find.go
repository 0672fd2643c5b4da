package timeline

import (
	"fmt"
	"slices"
	"strings"
)

// AmbiguousError is a beginning of more than one container's id.
type AmbiguousError struct {
	Prefix     string
	Containers []string
}

func (a *AmbiguousError) Error() string {
	const few = 10
	names := a.Containers
	more := ""
	if len(names) > few {
		names, more = names[:few], fmt.Sprintf(" and %d more", len(a.Containers)-few)
	}
	return fmt.Sprintf("%q is the beginning of %d containers: %s%s", a.Prefix, len(a.Containers), strings.Join(names, ", "), more)
}

// Of are the calls for a container, named by the beginning of its id, or for a pod
// by namespace/name, which may have had several.
func Of(calls []Call, who string) ([]Call, error) {
	var found []Call
	var containers []string
	for _, c := range calls {
		id := c.Attachment.ContainerID
		switch {
		case strings.Contains(who, "/"):
			if c.Pod == who {
				found = append(found, c)
			}
			continue
		case id == "" || !strings.HasPrefix(id, who):
			continue
		}
		if !slices.Contains(containers, id) {
			containers = append(containers, id)
		}
		found = append(found, c)
	}
	if len(containers) > 1 && !slices.Contains(containers, who) {
		return nil, &AmbiguousError{who, containers}
	}
	if slices.Contains(containers, who) {
		found = slices.DeleteFunc(found, func(c Call) bool { return c.Attachment.ContainerID != who })
	}
	return found, nil
}
