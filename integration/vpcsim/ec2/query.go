package ec2

import (
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// apiError is an EC2 error: its code is what clients decide on.
type apiError struct {
	code, text string
	status     int
}

func (e *apiError) Error() string { return e.code + ": " + e.text }

func invalid(format string, args ...any) error {
	return &apiError{"InvalidParameterValue", fmt.Sprintf(format, args...), http.StatusBadRequest}
}

func missing(name string) error {
	return &apiError{"MissingParameter", "The request must contain the parameter " + name, http.StatusBadRequest}
}

// query is the form of a request.
type query url.Values

func (q query) str(name string) string { return url.Values(q).Get(name) }

func (q query) has(name string) bool { return url.Values(q).Has(name) }

// number reads an optional whole number; absent is 0.
func (q query) number(name string) (int, error) {
	v := q.str(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, invalid("Value (%s) for parameter %s is invalid", v, name)
	}
	return n, nil
}

// list reads Name.1, Name.2, … in the order of their numbers.
func (q query) list(name string) []string {
	var out []string
	for _, i := range q.indexes(name) {
		out = append(out, q.str(name+"."+strconv.Itoa(i)))
	}
	return out
}

// indexes are the numbers n for which a key Name.n or Name.n.… exists.
func (q query) indexes(name string) []int {
	seen := map[int]bool{}
	for key := range q {
		rest, ok := strings.CutPrefix(key, name+".")
		if !ok {
			continue
		}
		num, _, _ := strings.Cut(rest, ".")
		if n, err := strconv.Atoi(num); err == nil {
			seen[n] = true
		}
	}
	out := make([]int, 0, len(seen))
	for n := range seen {
		out = append(out, n)
	}
	sort.Ints(out)
	return out
}

// filter is one Filter.n: any of the values, which may hold * and ?.
type filter struct {
	name   string
	values []string
}

func (q query) filters() []filter {
	var out []filter
	for _, i := range q.indexes("Filter") {
		key := "Filter." + strconv.Itoa(i)
		out = append(out, filter{q.str(key + ".Name"), q.list(key + ".Value")})
	}
	return out
}

// tags reads TagSpecification.n for one resource type, or Tag.n.
func (q query) tags(prefix string) map[string]string {
	out := map[string]string{}
	for _, i := range q.indexes(prefix + "Tag") {
		key := prefix + "Tag." + strconv.Itoa(i)
		out[q.str(key+".Key")] = q.str(key + ".Value")
	}
	return out
}

func (q query) tagSpecification(resource string) map[string]string {
	for _, i := range q.indexes("TagSpecification") {
		key := "TagSpecification." + strconv.Itoa(i)
		if q.str(key+".ResourceType") == resource {
			return q.tags(key + ".")
		}
	}
	return map[string]string{}
}

// matches applies the filters to a resource whose value per filter name is
// get; an unknown name is the client's mistake.
func matches(filters []filter, tags map[string]string, get func(name string) ([]string, bool)) (bool, error) {
	all := true
	for _, f := range filters {
		have, err := fieldValues(f.name, tags, get)
		if err != nil {
			return false, err
		}
		all = all && anyMatch(f.values, have)
	}
	return all, nil
}

func fieldValues(name string, tags map[string]string, get func(string) ([]string, bool)) ([]string, error) {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		v, ok := tags[key]
		if !ok {
			return nil, nil
		}
		return []string{v}, nil
	}
	if name == "tag-key" {
		var keys []string
		for k := range tags {
			keys = append(keys, k)
		}
		return keys, nil
	}
	have, ok := get(name)
	if !ok {
		return nil, invalid("The filter '%s' is invalid", name)
	}
	return have, nil
}

func anyMatch(patterns, have []string) bool {
	for _, p := range patterns {
		for _, h := range have {
			if wildcard(p, h) {
				return true
			}
		}
	}
	return false
}

// wildcard matches EC2's filter patterns: * any run, ? any one character.
func wildcard(pattern, s string) bool {
	for pattern != "" {
		switch pattern[0] {
		case '*':
			for i := 0; i <= len(s); i++ {
				if wildcard(pattern[1:], s[i:]) {
					return true
				}
			}
			return false
		case '?':
			if s == "" {
				return false
			}
		default:
			if s == "" || s[0] != pattern[0] {
				return false
			}
		}
		pattern, s = pattern[1:], s[1:]
	}
	return s == ""
}
