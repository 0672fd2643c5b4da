package performance

import (
	"testing"
	"time"
)

func TestSamples(t *testing.T) {
	var s Samples
	if s.Quantile(0.5) != 0 || s.P99() != "–" || Ratio(0, time.Second) != "–" || Ratio(time.Second, 0) != "–" {
		t.Error("nothing is not a dash")
	}
	for i := 1000; i > 0; i-- {
		s = append(s, time.Duration(i)*time.Millisecond)
	}
	for q, want := range map[float64]int{0: 1, 0.5: 501, 0.9: 901, 0.99: 991, 1: 1000} {
		if got := s.Quantile(q); got != time.Duration(want)*time.Millisecond {
			t.Errorf("quantile %v is %v", q, got)
		}
	}
	if s.P99() != "991.0" || s[:enough-1].P99() != "–" || Ratio(3*time.Second, 2*time.Second) != "1.50" {
		t.Errorf("p99 %s, of too few %s", s.P99(), s[:enough-1].P99())
	}
}
