package hostnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Multicast groups of rtnetlink that tell of a change to what Sync looks at, as
// the bit mask of sockaddr_nl.nl_groups (linux/rtnetlink.h).
const watchedGroups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) |
	1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV4_RULE-1)

// watchBuffer is the socket's receive buffer in bytes: some thousand messages.
// More are lost with ENOBUFS, which counts as one change.
const watchBuffer = 1 << 20

// reopenAfter is the pause before a socket that failed is opened again.
const reopenAfter = 100 * time.Millisecond

// Watch returns a channel that gets a value after links, addresses, routes or
// rules changed; several changes may give one. Additions that carry this
// project's protocol are not reported: they are vpc-veth's and Sync's own work.
// Other changes of Sync's are, and lead to one Sync that finds nothing to do.
// The channel is closed when ctx ends.
func (h *Host) Watch(ctx context.Context) (<-chan struct{}, error) {
	open := func() (io.ReadCloser, error) {
		var s *os.File
		err := inNamespace(h.ns, func() (err error) {
			s, err = subscribe()
			return err
		})
		return s, err
	}
	first, err := open()
	if err != nil {
		return nil, err
	}
	return watch(ctx, first, open), nil
}

func watch(ctx context.Context, socket io.ReadCloser, open func() (io.ReadCloser, error)) <-chan struct{} {
	events := make(chan struct{}, 1)
	go func() {
		defer close(events)
		for {
			pump(ctx, socket, events)
			var err error
			if socket, err = reopen(ctx, open); err != nil {
				return
			}
			notify(events) // what happened without a socket is not known
		}
	}()
	return events
}

// pump reads a socket until it fails or ctx ends, and closes it.
func pump(ctx context.Context, socket io.ReadCloser, events chan<- struct{}) {
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer func() {
		if stop() {
			_ = socket.Close()
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		n, err := socket.Read(buf)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			notify(events) // messages were lost; the socket goes on
		case err != nil:
			return
		case relevant(buf[:n]):
			notify(events)
		}
	}
}

// reopen opens another socket after a pause, until it succeeds or ctx ends.
func reopen(ctx context.Context, open func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(reopenAfter):
		}
		if s, err := open(); err == nil {
			return s, nil
		}
	}
}

// notify leaves at most one value in the channel: many changes, one Sync.
func notify(events chan<- struct{}) {
	select {
	case events <- struct{}{}:
	default:
	}
}

// subscribe opens a rtnetlink socket as a file, so that the runtime's poller
// waits for it and Close ends a Read.
func subscribe() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	// Past rmem_max where allowed; without the right to, the default size stays.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: watchedGroups}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("subscribing to kernel changes: %w", err)
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil
}
