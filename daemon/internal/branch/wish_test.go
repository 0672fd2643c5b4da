package branch

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpcchain/vpcchain/pkg/ipamapi"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// announced is the controller's annotation with a part of it replaced.
func announced(old, replacement string) string {
	const good = `[{"eniId":"eni-0a1","ifAddress":"02:AB:00:00:00:09","privateIp":"10.0.3.9","ipv6Addr":"","vlanId":7,"subnetCidr":"10.0.0.0/22","subnetV6Cidr":"","associationID":"trunk-assoc-1"}]`
	if old != "" && !strings.Contains(good, old) {
		panic(old)
	}
	return strings.Replace(good, old, replacement, 1)
}

func TestParseAnnouncement(t *testing.T) {
	want := Announcement{
		ENI: "eni-0a1", MAC: "02:ab:00:00:00:09", Addr: netip.MustParseAddr("10.0.3.9"), Subnet: netip.MustParsePrefix("10.0.0.0/22"), VLAN: 7,
	}
	for _, text := range []string{
		announced("", ""), announced("vlanId", "vlanID"), announced(`"10.0.0.0/22"`, `"10.0.1.0/22"`), // a host bit more
		strings.TrimSuffix(announced("", ""), "]") + `,{"vlanId":9}]`, // only the first counts
	} {
		got, err := ParseAnnouncement(text)
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
	for vlan, good := range map[string]bool{"0": false, "1": true, "4094": true, "4095": false, "-1": false, `"7"`: false, "1.5": false, "null": false} {
		if _, err := ParseAnnouncement(announced(`:7`, ":"+vlan)); (err == nil) != good {
			t.Errorf("VLAN id %s: %v", vlan, err)
		}
	}
	for _, tc := range []struct{ text, say string }{
		{"", "not a JSON array"},
		{"{}", "not a JSON array"},
		{"null", "no branch ENI"},
		{"[]", "no branch ENI"},
		{"[null]", "eniId"},
		{announced("eni-0a1", ""), "eniId"},
		{announced("eni-0a1", "eni-/x"), "eniId"},
		{announced("02:AB:00:00:00:09", "02:AB:00:00:00"), "ifAddress"},
		{announced("02:AB:00:00:00:09", "02:AB:00:00:00:09:01:02"), "ifAddress"},
		{announced("02:AB:00:00:00:09", "03:AB:00:00:00:09"), "ifAddress"},
		{announced("02:AB:00:00:00:09", "00:00:00:00:00:00"), "ifAddress"},
		{announced("10.0.3.9", "10.0.4.9"), "subnetCidr"},
		{announced("10.0.3.9", "fd00::9"), "privateIp"},
		{announced("10.0.3.9", ""), "privateIp"},
		{announced("10.0.0.0/22", "10.0.0.0"), "subnetCidr"},
		{announced(`:7`, ":4095"), "1 to 4094"},
	} {
		if _, err := ParseAnnouncement(tc.text); err == nil || !strings.Contains(err.Error(), tc.say) {
			t.Errorf("%s: error %v, want one with %q", tc.text, err, tc.say)
		}
	}
}

func TestParseGroups(t *testing.T) {
	got, err := ParseGroups(" sg-b,sg-a , sg-b")
	if diff := cmp.Diff([]string{"sg-a", "sg-b"}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := ParseGroups("sg-1,sg-2,sg-3,sg-4,sg-5,sg-1"); err != nil {
		t.Errorf("five groups: %v", err)
	}
	for _, text := range []string{"", ",", "sg-a,", "sg-", "default", "sg-a sg-b", "sg-a;sg-b", "sg-1,sg-2,sg-3,sg-4,sg-5,sg-6", "sg-" + strings.Repeat("a", 100)} {
		if got, err := ParseGroups(text); err == nil {
			t.Errorf("%q gives %q", text, got)
		}
	}
}

func TestParseWish(t *testing.T) {
	both := map[string]string{ipamapi.AnnotationPodENI: announced("", ""), ipamapi.AnnotationGroups: "sg-a"}
	if w, err := ParseWish(both); err != nil || w.Announced == nil || w.Groups != nil {
		t.Errorf("both annotations: %+v, %v", w, err)
	}
	if w, err := ParseWish(map[string]string{ipamapi.AnnotationGroups: "sg-a"}); err != nil || w.Announced != nil || len(w.Groups) != 1 {
		t.Errorf("groups: %+v, %v", w, err)
	}
	for _, bad := range []map[string]string{
		{}, {ipamapi.AnnotationPodENI: ""}, {ipamapi.AnnotationPodENI: "[]", ipamapi.AnnotationGroups: "sg-a"}, {ipamapi.AnnotationGroups: "x"},
	} {
		if w, err := ParseWish(bad); !errors.Is(err, ErrBadWish) || !strings.Contains(err.Error(), "vpc.amazonaws.com/") {
			t.Errorf("%v gives %+v, %v", bad, w, err)
		}
	}
}

// What is taken is what the kernel and EC2 can have; what is not says why.
func FuzzParseAnnouncement(f *testing.F) {
	for _, text := range []string{announced("", ""), announced("vlanId", "vlanID"), "[]", "[null]", announced(":7", ":4095"), announced("/22", "/0")} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAnnouncement(text)
		if err != nil {
			if a != (Announcement{}) || err.Error() == "" {
				t.Errorf("an error beside %+v", a)
			}
			return
		}
		if a.VLAN < 1 || a.VLAN > vpcnet.MaxVLAN || !a.Addr.Is4() || !a.Subnet.Contains(a.Addr) || a.Subnet != a.Subnet.Masked() || len(a.MAC) != 17 || !strings.HasPrefix(a.ENI, "eni-") {
			t.Errorf("%q gives %+v", text, a)
		}
	})
}

func FuzzParseGroups(f *testing.F) {
	f.Add("sg-b, sg-a")
	f.Add("sg-1,sg-2,sg-3,sg-4,sg-5,sg-6")
	f.Fuzz(func(t *testing.T, text string) {
		groups, err := ParseGroups(text)
		if err != nil {
			return
		}
		again, err := ParseGroups(strings.Join(groups, ","))
		if err != nil || len(groups) == 0 || len(groups) > maxGroups || !cmp.Equal(groups, again) {
			t.Errorf("%q gives %q, and that %q, %v", text, groups, again, err)
		}
	})
}
