package ec2

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"time"
)

const xmlns = "http://ec2.amazonaws.com/doc/2016-11-15/"

// action answers one API call; the model's lock is held.
type action func(*Sim, query) (any, error)

func (s *Sim) action(name string) (action, bool) {
	a, ok := map[string]action{
		"DescribeInstances":               (*Sim).describeInstances,
		"DescribeInstanceTypes":           (*Sim).describeInstanceTypes,
		"DescribeNetworkInterfaces":       (*Sim).describeNetworkInterfaces,
		"DescribeSubnets":                 (*Sim).describeSubnets,
		"DescribeVpcs":                    (*Sim).describeVpcs,
		"DescribeSecurityGroups":          (*Sim).describeSecurityGroups,
		"CreateNetworkInterface":          (*Sim).createNetworkInterface,
		"DeleteNetworkInterface":          (*Sim).deleteNetworkInterface,
		"AttachNetworkInterface":          (*Sim).attachNetworkInterface,
		"DetachNetworkInterface":          (*Sim).detachNetworkInterface,
		"ModifyNetworkInterfaceAttribute": (*Sim).modifyNetworkInterfaceAttribute,
		"AssignPrivateIpAddresses":        (*Sim).assignPrivateIPAddresses,
		"UnassignPrivateIpAddresses":      (*Sim).unassignPrivateIPAddresses,
		"AssociateTrunkInterface":         (*Sim).associateTrunkInterface,
		"DisassociateTrunkInterface":      (*Sim).disassociateTrunkInterface,
		"CreateTags":                      (*Sim).createTags,
		"DeleteTags":                      (*Sim).deleteTags,

		"DescribeTrunkInterfaceAssociations": (*Sim).describeTrunkInterfaceAssociations,
	}[name]
	return a, ok
}

// requestIDHeader names a request, which EC2 does in every answer.
const requestIDHeader = "X-Amzn-Requestid"

// Handler serves the EC2 Query API.
func (s *Sim) Handler() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Sim) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(requestIDHeader, fmt.Sprintf("00000000-0000-4000-8000-%012x", s.requests.Add(1)))
	if err := r.ParseForm(); err != nil {
		s.answerError(w, "", &apiError{"MalformedQueryString", err.Error(), http.StatusBadRequest})
		return
	}
	q := query(r.Form)
	name := q.str("Action")
	do, ok := s.action(name)
	if !ok {
		s.answerError(w, name, &apiError{"InvalidAction", fmt.Sprintf("The action %s is not valid for this web service", name), http.StatusBadRequest})
		return
	}
	f := s.faults.next(name)
	if err := pause(r.Context(), f.Latency); err != nil {
		return // the client has gone
	}
	if !s.throttle.take(name, q, time.Now()) {
		s.answerError(w, name, &apiError{"RequestLimitExceeded", "Request limit exceeded.", http.StatusServiceUnavailable})
		return
	}
	if f.Code != "" {
		s.answerError(w, name, f.err())
		return
	}
	reply, err := s.carryOut(do, q)
	_ = pause(r.Context(), f.ReplyLatency) // who has gone meanwhile gets no answer, but the call took effect
	if f.Lost {
		s.calls.count(name, "lost")
		// Applied, but the client sees a broken connection instead of the answer.
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		s.answerError(w, name, err)
		return
	}
	s.calls.count(name, OK)
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	_, _ = w.Write([]byte(xml.Header))
	start := xml.StartElement{
		Name: xml.Name{Local: name + "Response"},
		Attr: []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: xmlns}},
	}
	_ = xml.NewEncoder(w).EncodeElement(reply, start)
}

// carryOut changes the model or reads it.
func (s *Sim) carryOut(do action, q query) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.settle(now)
	reply, err := do(s, q)
	s.past.record(s, now)
	return reply, err
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

type errorReply struct {
	XMLName   xml.Name `xml:"Response"`
	Code      string   `xml:"Errors>Error>Code"`
	Message   string   `xml:"Errors>Error>Message"`
	RequestID string   `xml:"RequestID"`
}

func (s *Sim) answerError(w http.ResponseWriter, name string, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{"InternalError", err.Error(), http.StatusInternalServerError}
	}
	s.calls.count(name, e.code)
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(e.status)
	_, _ = w.Write([]byte(xml.Header))
	_ = xml.NewEncoder(w).Encode(errorReply{Code: e.code, Message: e.text, RequestID: w.Header().Get(requestIDHeader)})
}

// Client is an HTTP client for the SDK that calls the handler in the same
// goroutine: no socket, so that virtual time can advance.
func (s *Sim) Client() *DirectClient { return NewDirectClient(s.Handler()) }
