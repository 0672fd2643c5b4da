package ec2

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Least and most of MaxResults (EC2 API reference).
const (
	leastResults = 5
	mostResults  = 1000
	mostTypes    = 100 // DescribeInstanceTypes
)

// page cuts a listing by MaxResults and NextToken. The token names the last item
// shown and not a position: what comes and goes between two pages shifts nothing.
func page[T any](s *Sim, q query, most int, all []T, id func(T) string) (part []T, next string, err error) {
	size, err := q.number("MaxResults")
	if err != nil {
		return nil, "", err
	}
	if q.has("MaxResults") && (size < leastResults || size > most) {
		return nil, "", invalid("Value ( %d ) for parameter maxResults is invalid. Expecting a value between %d and %d.", size, leastResults, most)
	}
	if size == 0 {
		size = most
	}
	if s.topo.PageSize > 0 {
		size = min(size, s.topo.PageSize)
	}
	slices.SortStableFunc(all, func(a, b T) int { return cmp.Compare(id(a), id(b)) })
	after, err := readToken(q)
	if err != nil {
		return nil, "", err
	}
	all = slices.DeleteFunc(all, func(x T) bool { return after != "" && id(x) <= after })
	if size >= len(all) {
		return all, "", nil
	}
	return all[:size], token64(q.str("Action"), id(all[size-1])), nil
}

func token64(action, last string) string {
	return base64.URLEncoding.EncodeToString([]byte(action + " " + last))
}

func readToken(q query) (last string, err error) {
	text := q.str("NextToken")
	if text == "" {
		return "", nil
	}
	raw, err := base64.URLEncoding.DecodeString(text)
	last, ok := strings.CutPrefix(string(raw), q.str("Action")+" ")
	if err != nil || !ok || last == "" {
		return "", &apiError{"InvalidNextToken", fmt.Sprintf("The token '%s' is invalid", text), http.StatusBadRequest}
	}
	return last, nil
}

// notBoth refuses ids together with MaxResults, as EC2 does.
func (q query) notBoth(ids string) error {
	if q.has("MaxResults") && len(q.list(ids)) > 0 {
		return &apiError{"InvalidParameterCombination", "The parameter " + ids + " cannot be used with the parameter maxResults", http.StatusBadRequest}
	}
	return nil
}
