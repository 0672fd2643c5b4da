package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
)

func completionCommand() command {
	return command{
		name: "completion", short: "a shell's completion of this command line", operands: []operand{{name: "SHELL", oneOf: []string{"bash", "zsh", "fish"}}},
		detail: `To use it:
  bash  vpcctl completion bash >/etc/bash_completion.d/vpcctl, or: source <(vpcctl completion bash)
  zsh   vpcctl completion zsh >"${fpath[1]}/_vpcctl"
  fish  vpcctl completion fish >~/.config/fish/completions/vpcctl.fish
`,
		run: func(_ context.Context, c call) (int, error) {
			write := map[string]func(io.Writer){"bash": completeBash, "zsh": completeZsh, "fish": completeFish}[c.words[0]]
			write(c.out)
			return 0, nil
		},
	}
}

// withHelp are the subcommands, and help, which is one of the others' names.
func withHelp() []command {
	all := commands()
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	return append(all, command{name: "help", short: "its flags and exit codes", operands: []operand{{name: "SUBCOMMAND", optional: true, oneOf: names}}})
}

// path tells whether the flag's value is a file, or a directory.
func (f flagSpec) path() (file, dir bool) { return f.value == "PATH", f.value == "DIR" }

const bashHead = `# bash completion of vpcctl
_vpcctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags= files= dirs= values= i n=0
	local -a operands=()
	COMPREPLY=()
	# readline splits --flag=value at the sign
	[[ $cur == = ]] && cur=
	[[ $prev == = ]] && prev=${COMP_WORDS[COMP_CWORD-2]}
	if ((COMP_CWORD == 1)); then
		COMPREPLY=($(compgen -W %q -- "$cur"))
		return
	fi
	case ${COMP_WORDS[1]} in
`

const bashTail = `	esac
	case " $files " in *" $prev "*) COMPREPLY=($(compgen -f -- "$cur")); return ;; esac
	case " $dirs " in *" $prev "*) COMPREPLY=($(compgen -d -- "$cur")); return ;; esac
	case " $values " in *" $prev "*) return ;; esac
	if [[ $cur == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$cur"))
		return
	fi
	for ((i = 2; i < COMP_CWORD; i++)); do
		case " $files $dirs $values " in *" ${COMP_WORDS[i]} "*) ((i++)); [[ ${COMP_WORDS[i]} == = ]] && ((i++)); continue ;; esac
		[[ ${COMP_WORDS[i]} == -* ]] || ((n++))
	done
	((n < ${#operands[@]})) && COMPREPLY=($(compgen -W "${operands[n]}" -- "$cur"))
}
complete -o filenames -F _vpcctl vpcctl
`

func completeBash(out io.Writer) {
	var names []string
	for _, c := range withHelp() {
		names = append(names, c.name)
	}
	fmt.Fprintf(out, bashHead, strings.Join(names, " "))
	for _, c := range withHelp() {
		flags := []string{"--help"}
		var files, dirs, values, operands []string
		for _, f := range c.flags {
			flags = append(flags, "--"+f.name)
			switch file, dir := f.path(); {
			case file:
				files = append(files, "--"+f.name)
			case dir:
				dirs = append(dirs, "--"+f.name)
			case f.value != "":
				values = append(values, "--"+f.name)
			}
		}
		for _, o := range c.operands {
			operands = append(operands, fmt.Sprintf("%q", strings.Join(o.oneOf, " ")))
		}
		fmt.Fprintf(out, "\t%s) flags=%q files=%q dirs=%q values=%q operands=(%s) ;;\n", c.name,
			strings.Join(flags, " "), strings.Join(files, " "), strings.Join(dirs, " "), strings.Join(values, " "), strings.Join(operands, " "))
	}
	fmt.Fprint(out, bashTail)
}

// zshText is a text within single quotes in which zsh's _arguments and _describe
// find none of their signs.
func zshText(s string) string {
	return strings.NewReplacer("'", `'\''`, ":", `\:`, "[", `\[`, "]", `\]`).Replace(s)
}

func completeZsh(out io.Writer) {
	fmt.Fprint(out, "#compdef vpcctl\n_vpcctl() {\n\tlocal -a subcommands=(\n")
	for _, c := range withHelp() {
		fmt.Fprintf(out, "\t\t'%s:%s'\n", c.name, zshText(c.short))
	}
	fmt.Fprint(out, "\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe subcommand subcommands\n\t\treturn\n\tfi\n")
	fmt.Fprint(out, "\tshift words\n\t((CURRENT--))\n\tcase ${words[1]} in\n")
	for _, c := range withHelp() {
		fmt.Fprintf(out, "\t%s)\n\t\t_arguments '--help[its flags and exit codes]'", c.name)
		for _, f := range c.flags {
			action := ""
			switch file, dir := f.path(); {
			case file:
				action = ":file:_files"
			case dir:
				action = ":directory:_files -/"
			case f.value != "":
				action = ":" + f.value + ": "
			}
			sign := ""
			if f.value != "" {
				sign = "="
			}
			fmt.Fprintf(out, " \\\n\t\t\t'--%s%s[%s]%s'", f.name, sign, zshText(f.help), action)
		}
		for i, o := range c.operands {
			words := " "
			if len(o.oneOf) > 0 {
				words = "(" + strings.Join(o.oneOf, " ") + ")"
			}
			fmt.Fprintf(out, " \\\n\t\t\t'%d:%s:%s'", i+1, o.name, words)
		}
		fmt.Fprint(out, "\n\t\t;;\n")
	}
	fmt.Fprint(out, "\tesac\n}\nif [[ ${funcstack[1]} == _vpcctl ]]; then\n\t_vpcctl \"$@\"\nelse\n\tcompdef _vpcctl vpcctl\nfi\n")
}

func completeFish(out io.Writer) {
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'" }
	fmt.Fprintln(out, "complete -c vpcctl -f")
	for _, c := range withHelp() {
		fmt.Fprintf(out, "complete -c vpcctl -n __fish_use_subcommand -a %s -d %s\n", c.name, quote(c.short))
		within := "-n '__fish_seen_subcommand_from " + c.name + "'"
		for _, f := range slices.Concat(c.flags, []flagSpec{{name: "help", help: "its flags and exit codes"}}) {
			value := ""
			if file, dir := f.path(); file || dir {
				value = " -r -F"
			} else if f.value != "" {
				value = " -x"
			}
			fmt.Fprintf(out, "complete -c vpcctl %s -l %s%s -d %s\n", within, f.name, value, quote(f.help))
		}
		for _, o := range c.operands {
			if len(o.oneOf) > 0 {
				fmt.Fprintf(out, "complete -c vpcctl %s -a %s\n", within, quote(strings.Join(o.oneOf, " ")))
			}
		}
	}
}
