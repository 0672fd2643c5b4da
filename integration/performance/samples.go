package performance

import (
	"fmt"
	"slices"
	"time"
)

// Samples are times of the same thing.
type Samples []time.Duration

// Quantile is the time within which the share q of the samples was done; 0 of none.
func (s Samples) Quantile(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(s))[min(int(q*float64(len(s))), len(s)-1)]
}

// enough is the number of samples from which one in a hundred is more than one or two of them.
const enough = 200

// P99 is the 99th percentile in milliseconds as text, and a dash where there are too few samples to tell.
func (s Samples) P99() string {
	if len(s) < enough {
		return "–"
	}
	return MS(s.Quantile(0.99))
}

// MS is a time in milliseconds as text.
func MS(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000) }

// Ratio of two times as text; a dash if there is nothing to divide by.
func Ratio(a, b time.Duration) string {
	if a == 0 || b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}
