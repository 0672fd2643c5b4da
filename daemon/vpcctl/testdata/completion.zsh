#compdef vpcctl
_vpcctl() {
	local -a subcommands=(
		'status:does vpc-ipamd serve? the node, its ENIs, the pool, what it is to have and why, what the loop does next'
		'pool:ENIs, addresses, who holds them, what the loop does next'
		'pods:who has which address, by which links, since when'
		'snat:whose outbound NAT is kept, how often it was repaired'
		'explain:the way of a packet\: rules, routes, marks, SNAT, ENI, and what decided each'
		'check:the node against what is promised of it'
		'gc:release what is held for pods that are gone, as a GC of the runtime would'
		'drain-eni:keep new pods off an ENI, which goes with its last pod'
		'trace:the time line of a container'\''s ADD and DEL over plugins, RPC and EC2 calls; without CONTAINERID, the last calls'
		'max-pods:how many pods an instance type carries, in each mode; without TYPE, this node'\''s'
		'install:put the chain onto this node; --dry-run says what would be done'
		'uninstall:take it off again, with every kernel object; refuses while pods run'
		'completion:a shell'\''s completion of this command line'
		'help:its flags and exit codes'
	)
	if ((CURRENT == 2)); then
		_describe subcommand subcommands
		return
	fi
	shift words
	((CURRENT--))
	case ${words[1]} in
	status)
		_arguments '--help[its flags and exit codes]' \
			'--json[answer as JSON, whose names are stable]' \
			'--socket=[of vpc-ipamd]:file:_files' \
			'--state-dir=[of vpc-ipamd]:directory:_files -/'
		;;
	pool)
		_arguments '--help[its flags and exit codes]' \
			'--json[answer as JSON, whose names are stable]' \
			'--socket=[of vpc-ipamd]:file:_files'
		;;
	pods)
		_arguments '--help[its flags and exit codes]' \
			'--json[answer as JSON, whose names are stable]' \
			'--socket=[of vpc-ipamd]:file:_files' \
			'--state-dir=[of vpc-ipamd]:directory:_files -/'
		;;
	snat)
		_arguments '--help[its flags and exit codes]' \
			'--json[answer as JSON, whose names are stable]' \
			'--socket=[of vpc-ipamd]:file:_files'
		;;
	explain)
		_arguments '--help[its flags and exit codes]' \
			'--json[answer as JSON, whose names are stable]' \
			'--socket=[of vpc-ipamd]:file:_files' \
			'--state-dir=[of vpc-ipamd]:directory:_files -/' \
			'1:SRC: ' \
			'2:DST: ' \
			'3:PORT: '
		;;
	check)
		_arguments '--help[its flags and exit codes]' \
			'--fix[while vpc-ipamd answers, wait until it has repaired what differs; without it, repair]' \
			'--json[answer as JSON, whose names are stable]' \
			'--socket=[of vpc-ipamd]:file:_files' \
			'--state-dir=[of vpc-ipamd]:directory:_files -/'
		;;
	gc)
		_arguments '--help[its flags and exit codes]' \
			'--dry-run[say what would be released]' \
			'--json[answer as JSON, whose names are stable]' \
			'--socket=[of vpc-ipamd]:file:_files'
		;;
	drain-eni)
		_arguments '--help[its flags and exit codes]' \
			'--cancel[let it serve pods again]' \
			'--wait[until it is gone]' \
			'--timeout=[of --wait]:DURATION: ' \
			'--json[answer as JSON, whose names are stable]' \
			'--socket=[of vpc-ipamd]:file:_files' \
			'1:ENI: '
		;;
	trace)
		_arguments '--help[its flags and exit codes]' \
			'--last=[how many calls to list without CONTAINERID]:N: ' \
			'--json[answer as JSON, whose names are stable]' \
			'--state-dir=[of vpc-ipamd]:directory:_files -/' \
			'1:CONTAINERID: '
		;;
	max-pods)
		_arguments '--help[its flags and exit codes]' \
			'--prefix[with ENABLE_PREFIX_DELEGATION alone]' \
			'--custom-networking[with AWS_VPC_K8S_CNI_CUSTOM_NETWORK_CFG alone\: no pod on the primary ENI]' \
			'--pod-eni[with ENABLE_POD_ENI\: one ENI carries branch ENIs instead]' \
			'--json[answer as JSON, whose names are stable]' \
			'--socket=[of vpc-ipamd]:file:_files' \
			'1:TYPE: '
		;;
	install)
		_arguments '--help[its flags and exit codes]' \
			'--source=[where the plugins are copied from\: absolute paths, separated by colons]:directory:_files -/' \
			'--bin-dir=[the runtime'\''s directory of plugins\: an absolute path]:directory:_files -/' \
			'--conf-dir=[the runtime'\''s directory of conflists\: an absolute path]:directory:_files -/' \
			'--rt-tables-dir=[where iproute2 reads the names of routing tables\: an absolute path]:directory:_files -/' \
			'--file=[the conflist'\''s name\: a runtime uses the first one by name\: a file name that ends in .conflist]:FILE: ' \
			'--retire=[conflists that the runtime is to use no more; uninstall brings them back\: file names, separated by commas]:RETIRE: ' \
			'--socket=[of vpc-ipamd\: an absolute path]:file:_files' \
			'--wait=[how long vpc-ipamd is waited for before the conflist is written\: a duration, as 90s; 0 does not wait]:WAIT: ' \
			'--dry-run[say what would be done]' \
			'--json[report as JSON, whose names are stable]' \
			'--name=[the network'\''s name; it is part of what each pod'\''s link is known by\: letters, digits, dots, dashes, underscores]:NAME: ' \
			'--timeout=[how long a pod waits for an address\: a duration, as 20s]:TIMEOUT: ' \
			'--veth-prefix=[prefix of the host veth names\: 1 to 4 characters; not eth, vlan, lo]:PREFIX: ' \
			'--mtu=[MTU of the pods'\'' links\: bytes, 576 to 9001]:MTU: ' \
			'--pod-eni[pods may have security groups of their own]' \
			'--enforcing-mode=[how they apply\: strict, standard]:MODE: ' \
			'--bandwidth[upstream bandwidth in the chain]' \
			'--portmap[upstream portmap in the chain, for hostPort]' \
			'--portmap-backend=[where portmap'\''s rules are\: nftables, iptables]:BACKEND: ' \
			'--disable-pod-ipv6[upstream tuning in the chain turns IPv6 off in pods]' \
			'--external-snat[externalSNAT of vpc-snat]' \
			'--exclude-snat-cidrs=[excludeSNATCIDRs of vpc-snat\: IPv4 CIDRs, separated by commas]:CIDRS: ' \
			'--randomize-snat=[randomizeSNAT of vpc-snat\: prng, hashrandom, none]:SNAT: ' \
			'--node-port-support[nodePortSupport of vpc-snat]' \
			'--connmark=[connmark of vpc-snat\: a 32-bit number from 1, such as 0x80]:CONNMARK: ' \
			'--snat-chain-style=[chainStyle of vpc-snat\: chain, flat]:STYLE: ' \
			'--snat-backend=[backend of vpc-snat\: auto, iptables, nftables]:BACKEND: '
		;;
	uninstall)
		_arguments '--help[its flags and exit codes]' \
			'--bin-dir=[the runtime'\''s directory of plugins, with the record of the installation]:directory:_files -/' \
			'--state-dir=[of vpc-ipamd]:directory:_files -/' \
			'--force[while pods run\: they lose their network]' \
			'--to-stock[leave the pods running, as the stock AWS VPC CNI would have made them; see docs/migrate.md]' \
			'--dry-run[say what would be done]' \
			'--json[report as JSON, whose names are stable]'
		;;
	completion)
		_arguments '--help[its flags and exit codes]' \
			'1:SHELL:(bash zsh fish)'
		;;
	help)
		_arguments '--help[its flags and exit codes]' \
			'1:SUBCOMMAND:(status pool pods snat explain check gc drain-eni trace max-pods install uninstall completion)'
		;;
	esac
}
if [[ ${funcstack[1]} == _vpcctl ]]; then
	_vpcctl "$@"
else
	compdef _vpcctl vpcctl
fi
