package ec2

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
)

// DirectClient is an HTTP client without a network.
type DirectClient struct{ h http.Handler }

// NewDirectClient calls h for every request.
func NewDirectClient(h http.Handler) *DirectClient { return &DirectClient{h} }

// errLostReply is what a broken connection looks like to the client.
var errLostReply = errors.New("connection reset by peer")

// Do answers the request by calling the handler.
func (c *DirectClient) Do(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			resp, err = nil, errLostReply
		}
	}()
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	} else {
		r.Body = io.NopCloser(http.NoBody)
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}
