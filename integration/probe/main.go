// Command probe is the two ends of a TCP conversation for the demo and the
// end-to-end tests: `probe serve PORT` answers every connection with the
// addresses it sees, `probe dial ADDR:PORT` prints that answer as JSON together
// with the client's own address. It exists because what matters here is the
// source address as the far end sees it, which no stock tool prints. Being
// static, it is also all that the test image for container runtimes has in it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

type seen struct {
	Client netip.AddrPort `json:"client"`
	Server netip.AddrPort `json:"server"`
	Local  netip.AddrPort `json:"local"`
	Body   string         `json:"body,omitempty"`
}

// patience bounds every step of a conversation: a dropped SYN is retried by
// the kernel after one second, so a success that needs a retry still shows.
const patience = 3 * time.Second

const usage = `usage: probe serve PORT       answer every connection with the addresses seen, then echo
       probe dial ADDR:PORT   print that answer
       probe get ADDR:PORT    fetch / by HTTP
       probe web PORT         answer / and /healthz by HTTP
       probe hold ADDR:PORT   keep one connection busy
       probe pour PORT        send without end to who connects
       probe drink ADDR:PORT  read for a second, print bytes per second of each half
       probe ifaces           print the interfaces of this network namespace
       probe pause            be the process that holds a pod's namespaces
       probe pod              a pod's container: serve 8080, pour 8081`

func main() {
	with := map[string]func(string) error{"serve": serve, "web": web, "dial": dial, "get": get, "hold": hold, "pour": pour, "drink": drink}
	alone := map[string]func() error{"ifaces": ifaces, "pause": pause, "pod": pod}
	err := errors.New(usage)
	if len(os.Args) == 3 && with[os.Args[1]] != nil {
		err = with[os.Args[1]](os.Args[2])
	} else if len(os.Args) == 2 && alone[os.Args[1]] != nil {
		err = alone[os.Args[1]]()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func serve(port string) error {
	l, err := net.Listen("tcp4", ":"+port)
	if err != nil {
		return err
	}
	fmt.Println("listening on", l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go answer(c)
	}
}

// answer tells the client what the server sees of it, and echoes from then on.
func answer(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if err := json.NewEncoder(c).Encode(seen{Client: addrPort(c.RemoteAddr()), Server: addrPort(c.LocalAddr())}); err == nil {
		_, _ = io.Copy(c, c)
	}
}

// hold keeps one connection busy, an echo every 20 ms, and prints the count of
// them as it goes, until it is ended or the connection breaks.
func hold(to string) error {
	c, err := net.DialTimeout("tcp4", to, patience)
	if err != nil {
		return err
	}
	lines := bufio.NewReader(c)
	first, err := lines.ReadString('\n')
	if err != nil {
		return err
	}
	fmt.Print(first)
	for n := 1; ; n++ {
		_ = c.SetDeadline(time.Now().Add(2 * patience))
		if _, err := fmt.Fprintln(c, n); err != nil {
			return err
		}
		if back, err := lines.ReadString('\n'); err != nil || strings.TrimSpace(back) != fmt.Sprint(n) {
			return fmt.Errorf("echo %d of %s: %q, %w", n, to, back, err)
		}
		fmt.Println("echo", n)
		time.Sleep(20 * time.Millisecond)
	}
}

func dial(to string) error {
	c, err := net.DialTimeout("tcp4", to, patience)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	var s seen
	if err := json.NewDecoder(c).Decode(&s); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", to, err)
	}
	s.Local = addrPort(c.LocalAddr())
	return json.NewEncoder(os.Stdout).Encode(s)
}

// get fetches / by HTTP over a connection of its own, as curl does, and prints
// the client's source and the body.
func get(from string) error {
	c, err := net.DialTimeout("tcp4", from, patience)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	host, _, _ := net.SplitHostPort(from)
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nUser-Agent: probe\r\nConnection: close\r\n\r\n", host); err != nil {
		return err
	}
	raw, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	_, body, ok := strings.Cut(string(raw), "\r\n\r\n")
	if !ok || !strings.Contains(string(raw), " 200 ") {
		return fmt.Errorf("%s answers %q", from, raw)
	}
	return json.NewEncoder(os.Stdout).Encode(seen{Local: addrPort(c.LocalAddr()), Body: strings.TrimSpace(body)})
}

func addrPort(a net.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
