package netconf

import (
	"strings"
	"testing"
)

func TestPrevResultWithNull(t *testing.T) {
	for _, version := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		for list, text := range map[string]string{"interfaces": "interfaces[1]", "ips": "ips[1]", "routes": "routes[1]"} {
			first := map[string]string{"interfaces": `{"name":"eth0"}`, "ips": `{"version":"4","address":"10.0.0.1/32"}`, "routes": `{"dst":"0.0.0.0/0"}`}[list]
			stdin := `{"cniVersion":"` + version + `","prevResult":{"cniVersion":"` + version + `","` + list + `":[` + first + `,null]}}`
			if _, err := PrevResult([]byte(stdin)); err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %q", stdin, err, text)
			}
			if _, err := PrevResult([]byte(strings.Replace(stdin, ",null", "", 1))); err != nil {
				t.Errorf("without the null: %v", err)
			}
		}
	}
}

// Whatever a runtime sends is a result or an error.
func FuzzPrevResult(f *testing.F) {
	for _, version := range []string{"0.2.0", "0.4.0", "1.0.0", "1.1.0"} {
		f.Add(`{"cniVersion":"` + version + `","prevResult":{"cniVersion":"` + version + `","interfaces":[{"name":"eth0","sandbox":"x"}],"ips":[{"interface":0,"address":"10.0.0.1/32"}],"dns":{}}}`)
		f.Add(`{"cniVersion":"` + version + `","prevResult":{"ip4":null,"ips":[null],"interfaces":null}}`)
	}
	f.Fuzz(func(t *testing.T, stdin string) {
		if res, err := PrevResult([]byte(stdin)); (res == nil) == (err == nil) {
			t.Errorf("%v, %v", res, err)
		}
	})
}
