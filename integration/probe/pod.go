package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Ports of `probe pod`.
const (
	servePort = "8080"
	pourPort  = "8081"
)

// pause holds a pod's namespaces until it is told to end. As process 1 of a
// pod it also has to collect the children that others leave behind.
func pause() error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return nil
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
	return nil
}

// pod serves on both ports until it is told to end.
func pod() error {
	failed := make(chan error, 2)
	go func() { failed <- serve(servePort) }()
	go func() { failed <- pour(pourPort) }()
	go func() { failed <- pause() }()
	return <-failed
}

// pour sends to everybody who connects, for as long as they read.
func pour(port string) error {
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
		go func() {
			defer func() { _ = c.Close() }()
			for block := make([]byte, 64<<10); ; {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
		}()
	}
}

// half is how long each half of drink takes: in the first one TCP finds its
// window and a shaper spends a small burst.
const half = 500 * time.Millisecond

// rate is what drink prints.
type rate struct {
	First  float64 `json:"first"`  // bytes per second of the first half
	Second float64 `json:"second"` // of the second
}

// drink reads from a pourer as fast as it can and prints the rate of each half.
func drink(from string) error {
	c, err := net.DialTimeout("tcp4", from, patience)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	var out rate
	for _, to := range []*float64{&out.First, &out.Second} {
		start := time.Now()
		_ = c.SetReadDeadline(start.Add(half))
		n, err := io.Copy(io.Discard, c)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%s stopped pouring after %d bytes: %w", from, n, err)
		}
		*to = float64(n) / time.Since(start).Seconds()
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// link is one interface of the namespace.
type link struct {
	Name      string   `json:"name"`
	MAC       string   `json:"mac"`
	MTU       int      `json:"mtu"`
	Addresses []string `json:"addresses"`
}

// ifaces prints the interfaces of this network namespace as JSON.
func ifaces() error {
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	out := []link{}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			return fmt.Errorf("reading the addresses of %s: %w", i.Name, err)
		}
		l := link{Name: i.Name, MAC: i.HardwareAddr.String(), MTU: i.MTU}
		for _, a := range addrs {
			l.Addresses = append(l.Addresses, a.String())
		}
		out = append(out, l)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}
