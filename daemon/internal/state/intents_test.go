package state

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/vpcchain/vpcchain/daemon/internal/eni"
	"github.com/vpcchain/vpcchain/daemon/internal/intent"
)

func TestIntentsOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ipamd.db")
	s := open(t, path)
	a := intent.Intent{ID: "a", Kind: intent.Create, Step: intent.Creating, Device: 2, Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Spec: eni.CreateSpec{
		SubnetID: "subnet-1", Groups: []string{"sg-2", "sg-1"}, Addresses: 3, Prefixes: 1, Description: "d", ClientToken: "token", Tags: map[string]string{"k": "v"},
	}}
	b := intent.Intent{ID: "b", Kind: intent.Remove, Step: intent.Detaching, ENI: "eni-b", Attachment: "attach-b", Card: 1}
	for _, in := range []intent.Intent{a, b, {ID: "c"}} {
		must(t, s.Intend(in))
	}
	a.Step, a.ENI = intent.Attaching, "eni-a"
	must(t, s.Intend(a))
	must(t, s.Done("c"))
	must(t, s.Done("no such"))
	must(t, s.Close())

	s = open(t, path)
	got, err := s.Intents()
	must(t, err)
	compare(t, "intents", []intent.Intent{a, b}, got)
}
