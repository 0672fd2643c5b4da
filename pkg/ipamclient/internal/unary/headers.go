package unary

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
)

// headers are what matters of the headers or trailers of an answer.
type headers struct {
	status      string // of HTTP
	contentType string
	encoding    string // compression of messages
	grpcStatus  string
	grpcMessage string
}

// decodeHeaders reads one block. The decoder keeps the table of the connection,
// so every block must pass through it.
func decodeHeaders(d *hpack.Decoder, block []byte) (headers, error) {
	fields, err := d.DecodeFull(block)
	if err != nil {
		return headers{}, fmt.Errorf("reading headers: %w", err)
	}
	var h headers
	for _, f := range fields {
		switch f.Name {
		case ":status":
			h.status = f.Value
		case "content-type":
			h.contentType = f.Value
		case "grpc-encoding":
			h.encoding = f.Value
		case "grpc-status":
			h.grpcStatus = f.Value
		case "grpc-message":
			h.grpcMessage = f.Value
		}
	}
	return h, nil
}

// isGRPC is about application/grpc, application/grpc+proto and parameters behind them.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(contentType), "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// Field is metadata of a request: its name in lower case, its value printable ASCII.
type Field struct{ Name, Value string }

// encodeHeaders is the block of a request. Without a timeout (0) the server
// waits for as long as the connection lives.
func encodeHeaders(method string, timeout time.Duration, fields []Field) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	write := func(name, value string) {
		_ = e.WriteField(hpack.HeaderField{Name: name, Value: value}) // a buffer takes all
	}
	write(":method", "POST")
	write(":scheme", "http")
	write(":path", method)
	write(":authority", "localhost") // nothing is named on a unix socket, and the header must be there
	write("content-type", "application/grpc")
	write("te", "trailers")
	if timeout > 0 {
		write("grpc-timeout", encodeTimeout(timeout))
	}
	for _, f := range fields {
		write(f.Name, f.Value)
	}
	return b.Bytes()
}

// encodeTimeout is a duration of the wire: at most eight digits and a unit. It
// rounds up: the server must not give up before the client does.
func encodeTimeout(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Nanosecond, "n"}, {time.Microsecond, "u"}, {time.Millisecond, "m"}, {time.Second, "S"}, {time.Minute, "M"}} {
		if n := (d-1)/u.unit + 1; n < 1e8 {
			return strconv.FormatInt(int64(n), 10) + u.name
		}
	}
	return strconv.FormatInt(int64((d-1)/time.Hour+1), 10) + "H"
}

// decodeMessage undoes the percent-encoding of a status' message. What is not
// encoded well stays as it is: the specification wants no message lost.
func decodeMessage(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				out.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
