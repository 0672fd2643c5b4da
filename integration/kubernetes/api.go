package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
)

// Object is any object of the API, as JSON has it.
type Object = map[string]any

// API is a client of an API server, as one user. It speaks JSON over HTTP by
// hand: what the suite asks is little, and the Go client of Kubernetes is large.
type API struct {
	base  string
	token string
	http  *http.Client
}

// newAPI is a client whose connections are made in the network namespace at ns,
// which is where they stay.
func newAPI(ns, base, token string) *API {
	dial := func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		err = netns.Do(ns, func() error {
			conn, err = (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}
	// The server makes its certificate itself when it starts.
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 40} //nolint:gosec // loopback of a simulation
	return &API{base: base, token: token, http: &http.Client{Transport: transport}}
}

// As is the same server for another user's token.
func (a *API) As(token string) *API { return &API{base: a.base, token: token, http: a.http} }

// Close ends the idle connections.
func (a *API) Close() { a.http.CloseIdleConnections() }

// RefusedError is an answer that says no.
type RefusedError struct {
	Code    int
	Message string
}

func (r *RefusedError) Error() string { return fmt.Sprintf("%d: %s", r.Code, r.Message) }

// Code is the HTTP status of an error of the API, 0 of another.
func Code(err error) int {
	if r := (*RefusedError)(nil); errors.As(err, &r) {
		return r.Code
	}
	return 0
}

// Get decodes the object into out, unless it is nil.
func (a *API) Get(ctx context.Context, path string, out any) error {
	return a.call(ctx, http.MethodGet, path, "", nil, out)
}

// Post creates an object and decodes the server's answer into out, unless it is nil.
func (a *API) Post(ctx context.Context, path string, in, out any) error {
	return a.call(ctx, http.MethodPost, path, "application/json", in, out)
}

// Delete deletes an object.
func (a *API) Delete(ctx context.Context, path string) error {
	return a.call(ctx, http.MethodDelete, path, "", nil, nil)
}

// Apply is a server-side apply, as `kubectl apply --server-side` makes it; dryRun
// runs everything but the writing.
func (a *API) Apply(ctx context.Context, path string, in Object, dryRun bool) error {
	path += "?fieldManager=vpcchain-test&fieldValidation=Strict&force=true"
	if dryRun {
		path += "&dryRun=All"
	}
	// JSON is YAML.
	return a.call(ctx, http.MethodPatch, path, "application/apply-patch+yaml", in, nil)
}

func (a *API) call(ctx context.Context, method, path, contentType string, in, out any) error {
	body, err := a.open(ctx, method, path, contentType, in)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer func() { _ = body.Close() }()
	raw, err := io.ReadAll(body)
	if err == nil && out != nil {
		err = json.Unmarshal(raw, out)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

func (a *API) open(ctx context.Context, method, path, contentType string, in any) (io.ReadCloser, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer func() { _ = resp.Body.Close() }()
		raw, _ := io.ReadAll(resp.Body)
		status := struct{ Message string }{string(raw)}
		_ = json.Unmarshal(raw, &status)
		return nil, &RefusedError{resp.StatusCode, status.Message}
	}
	return resp.Body, nil
}

// Watch calls f for every change of the objects at path, until f is satisfied or ctx ends.
func (a *API) Watch(ctx context.Context, path string, f func(kind string, raw json.RawMessage) (done bool, err error)) error {
	body, err := a.open(ctx, http.MethodGet, path+"?watch=true", "", nil)
	if err != nil {
		return fmt.Errorf("watching %s: %w", path, err)
	}
	defer func() { _ = body.Close() }()
	for d := json.NewDecoder(body); ; {
		var e struct {
			Type   string
			Object json.RawMessage
		}
		if err := d.Decode(&e); err != nil {
			return fmt.Errorf("watching %s: %w", path, errors.Join(err, context.Cause(ctx)))
		}
		if done, err := f(e.Type, e.Object); done || err != nil {
			return err
		}
	}
}
