// Package cnimain is the main of a plugin: the verbs under the library's
// dispatcher, for the CNI versions that all plugins of the chain speak.
package cnimain

import (
	"os"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"
)

// Run runs the verb that the runtime asks for and writes its answer to standard
// output; after an error it ends the process. About is what a person sees who
// starts the plugin by hand.
func Run(verbs skel.CNIFuncs, about string) {
	// The dispatcher would look once more, after ADD and DEL, whether CNI_NETNS is
	// the host's own namespace, on a thread that it locks, for which Go starts
	// another: a tenth of a plugin's time. Verbs that touch the pod's namespace
	// look before they do (netconf.RefuseHostNetns).
	_ = os.Setenv("CNI_NETNS_OVERRIDE", "TRUE")
	skel.PluginMainFuncs(verbs, version.PluginSupports("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"), about)
}
