package config

import (
	"flag"

	"github.com/vpcchain/vpcchain/pkg/nodefacts"
	"github.com/vpcchain/vpcchain/pkg/vpcnet"
)

// Flags are vpc-ipamd's command line: where it is, while the settings say what
// it does.
type Flags struct {
	Socket   string // to serve the plugins on
	StateDir string // of state, node facts and spool
	NoHost   bool   // leave the kernel alone
}

// Set is the set of flags that fills f.
func (f *Flags) Set() *flag.FlagSet {
	fs := flag.NewFlagSet("vpc-ipamd", flag.ExitOnError)
	fs.StringVar(&f.Socket, "socket", vpcnet.DefaultSocket, "unix socket to serve the plugins on")
	fs.StringVar(&f.StateDir, "state-dir", nodefacts.Dir, "directory of the state, the node facts and the spool")
	fs.BoolVar(&f.NoHost, "no-host", false, "leave the kernel alone and count every ENI's link as there: for a simulated EC2, without root")
	return fs
}
