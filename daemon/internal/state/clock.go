package state

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// clock tells the time of the wall, which an operator or NTP may set, and that
// since boot, which nobody sets. The file does not outlive a boot.
type clock func() (wall time.Time, boot time.Duration)

func systemClock() (time.Time, time.Duration) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Now(), 0 // never on Linux; without it the wall has to do
	}
	return time.Now(), time.Duration(ts.Nano())
}

// Clock makes the store tell the time by other clocks: those of a simulation. It
// must come before the first use.
func (s *Store) Clock(c func() (wall time.Time, boot time.Duration)) { s.clock = c }

// slack is by how much the two clocks may drift apart before the wall counts as
// having been set: NTP slews it by 0.05 % at most.
const slack = 2 * time.Second

// stamp is a time as the file has it: that of the wall, and how far the wall was
// ahead of the boot clock.
func (c clock) stamp(at time.Time) ([]byte, error) {
	raw, err := at.MarshalBinary()
	if err != nil {
		return nil, err
	}
	wall, boot := c()
	return binary.BigEndian.AppendUint64(raw, uint64(ahead(wall, boot))), nil
}

func ahead(wall time.Time, boot time.Duration) time.Duration {
	return time.Duration(wall.UnixNano()) - boot
}

// plain is the length of a time without the second part, as older files have it
// (encoding version 1; version 2 is of zones with seconds in their offset).
const plain = 15

// time is the moment of a stamp on the wall as it is set now: a clock that
// jumped makes no rest longer or shorter.
func (c clock) time(raw []byte) (time.Time, error) {
	text, tail := raw, []byte(nil)
	if n := len(raw) - 8; n >= plain {
		text, tail = raw[:n], raw[n:]
	}
	var at time.Time
	if err := at.UnmarshalBinary(text); err != nil {
		return time.Time{}, fmt.Errorf("reading a time: %w", err)
	}
	wall, boot := c()
	if tail != nil {
		jump := ahead(wall, boot) - time.Duration(binary.BigEndian.Uint64(tail)) //nolint:gosec // what stamp wrote
		if jump.Abs() > slack {
			at = at.Add(jump)
		}
	}
	if at.After(wall) {
		at = wall // nothing was released in the future: at worst it rests once more
	}
	return at, nil
}
