package fabric_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/vpcchain/vpcchain/integration/vpcsim/netns"
)

// socket opens a UDP socket on host.
func (v *vpc) socket(host string, a netip.Addr, port uint16) (c *net.UDPConn) {
	v.t.Helper()
	v.in(host, func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port)))
		return err
	})
	v.t.Cleanup(func() { _ = c.Close() })
	must(v.t, c.SetDeadline(time.Now().Add(3*limit)))
	return c
}

func (v *vpc) say(c *net.UDPConn, a netip.Addr, port uint16, text string) {
	v.t.Helper()
	_, err := c.WriteToUDPAddrPort([]byte(text), netip.AddrPortFrom(a, port))
	must(v.t, err)
}

// hear takes the next packet, which must be text: one that should have been
// dropped before it is found here.
func (v *vpc) hear(c *net.UDPConn, text string) netip.AddrPort {
	v.t.Helper()
	buf := make([]byte, 1500)
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		v.t.Fatalf("waiting for %q at %s: %v; refused: %+v", text, c.LocalAddr(), err, v.records())
	}
	if got := string(buf[:n]); got != text {
		v.t.Fatalf("%s received %q from %s, want %q", c.LocalAddr(), got, from, text)
	}
	return from
}

// echo serves TCP on host and gives back what it gets.
func (v *vpc) echo(host string, a netip.Addr, port uint16) {
	v.t.Helper()
	var l net.Listener
	v.in(host, func() (err error) {
		l, err = net.Listen("tcp4", netip.AddrPortFrom(a, port).String())
		return err
	})
	v.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
}

// talk exchanges a word with an echo server.
func (v *vpc) talk(host string, a netip.Addr, port uint16, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(v.t.Context(), wait)
	defer cancel()
	return netns.Do(v.dir.Net(host), func() error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp4", netip.AddrPortFrom(a, port).String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		end, _ := ctx.Deadline()
		if err := errors.Join(c.SetDeadline(end), c.(*net.TCPConn).SetNoDelay(true)); err != nil {
			return err
		}
		if _, err := io.WriteString(c, "word"); err != nil {
			return err
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "word" {
			return fmt.Errorf("echo %q: %w", got, err)
		}
		return nil
	})
}

// ping sends an ICMP echo request; the answer comes out of the socket. Each has
// an identifier of its own, as by it the VPC knows the flow.
func (v *vpc) ping(host string, a netip.Addr) (c net.PacketConn) {
	v.t.Helper()
	v.in(host, func() (err error) {
		c, err = net.ListenPacket("ip4:icmp", "0.0.0.0")
		return err
	})
	v.t.Cleanup(func() { _ = c.Close() })
	must(v.t, c.SetDeadline(time.Now().Add(limit)))
	v.pings++
	request := []byte{8, 0, 0, 0, 0x12, v.pings, 0, 1}
	sum := uint32(0)
	for i := 0; i < len(request); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(request[i:]))
	}
	binary.BigEndian.PutUint16(request[2:], ^uint16(sum+sum>>16))
	_, err := c.WriteTo(request, &net.IPAddr{IP: a.AsSlice()})
	must(v.t, err)
	return c
}

func (v *vpc) pong(c net.PacketConn, want netip.Addr) {
	v.t.Helper()
	buf := make([]byte, 1500)
	n, from, err := c.ReadFrom(buf)
	if err != nil {
		v.t.Fatalf("waiting for an echo reply of %s: %v; refused: %+v", want, err, v.records())
	}
	if n == 0 || buf[0] != 0 || from.String() != want.String() {
		v.t.Fatalf("received ICMP %x from %s, want an echo reply of %s", buf[:n], from, want)
	}
}
