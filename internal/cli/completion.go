package cli

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// shellQuote quotes a text for the shells that there is completion for.
func shellQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `'\''`).Replace(s) + "'"
}

// flagNames returns the flags of a set as they are typed.
func flagNames(fs *flag.FlagSet) []string {
	var l []string
	fs.VisitAll(func(f *flag.Flag) { l = append(l, "-"+f.Name) })
	return l
}

// listed returns the commands that are in the usage of the program.
func listed() []command {
	return slices.DeleteFunc(commands(), func(c command) bool { return c.unlisted })
}

// writeFlagCases writes the branches of a case statement of a shell that sets variable
// flags by the command in variable cmd.
func writeFlagCases(b *strings.Builder, indent string) {
	for _, c := range listed() {
		fs, _ := c.flags()
		if l := flagNames(fs); len(l) > 0 {
			fmt.Fprintf(b, "%s%s) flags=%s ;;\n", indent, shellQuote(c.words), shellQuote(strings.Join(l, " ")))
		}
	}
	var g globals
	fmt.Fprintf(b, "%s'') flags=%s ;;\n", indent, shellQuote(strings.Join(flagNames(g.flags()), " ")))
}

// valueFlags are the global flags that another word belongs to, as a pattern of a shell.
func valueFlags() string {
	var g globals
	var l []string
	g.flags().VisitAll(func(f *flag.Flag) {
		if b, ok := f.Value.(interface{ IsBoolFlag() bool }); !ok || !b.IsBoolFlag() {
			l = append(l, "-"+f.Name)
		}
	})
	return strings.Join(l, "|")
}

// writeCompletionBash writes a script that completes commands and flags. What is left is
// completed by the shell, as names of files.
func writeCompletionBash(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Completion of mox for bash: source <(mox completion bash)\n")
	b.WriteString("_mox_commands=(\n")
	for _, c := range listed() {
		b.WriteString("\t" + shellQuote(c.words) + "\n")
	}
	b.WriteString(`)
_mox() {
	local cur=${COMP_WORDS[COMP_CWORD]} cmd='' flags='' full='' line rest i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		` + valueFlags() + `) [[ -z $cmd ]] && ((i++)) ;;
		-*) ;;
		*) cmd="${cmd:+$cmd }${COMP_WORDS[i]}" ;;
		esac
	done
	COMPREPLY=()
	if [[ $cur == -* ]]; then
		# The longest command that the words start with.
		for line in "${_mox_commands[@]}"; do
			[[ "$cmd " == "$line "* && ${#line} -gt ${#full} ]] && full=$line
		done
		case $full in
`)
	writeFlagCases(&b, "\t\t")
	b.WriteString(`		esac
		mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
		return
	fi
	for line in "${_mox_commands[@]}"; do
		if [[ -z $cmd || $line == "$cmd "* ]]; then
			rest=${line#"${cmd:+$cmd }"}
			rest=${rest%% *}
			[[ $rest == "$cur"* && " ${COMPREPLY[*]} " != *" $rest "* ]] && COMPREPLY+=("$rest")
		fi
	done
}
complete -o default -F _mox mox
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeCompletionZsh does the same for zsh.
func writeCompletionZsh(w io.Writer) error {
	var b strings.Builder
	b.WriteString("#compdef mox\n# Completion of mox for zsh: save as _mox in a directory of $fpath\n")
	b.WriteString("_mox() {\n\tlocal -a cmds candidates\n\tlocal cmd='' flags='' full='' line rest i\n\tcmds=(\n")
	for _, c := range listed() {
		b.WriteString("\t\t" + shellQuote(c.words) + "\n")
	}
	b.WriteString(`	)
	for ((i = 2; i < CURRENT; i++)); do
		case ${words[i]} in
		(` + valueFlags() + `) [[ -z $cmd ]] && ((i++)) ;;
		(-*) ;;
		(*) cmd="${cmd:+$cmd }${words[i]}" ;;
		esac
	done
	if [[ ${words[CURRENT]} == -* ]]; then
		for line in $cmds; do
			[[ "$cmd " == "$line "* && ${#line} -gt ${#full} ]] && full=$line
		done
		case $full in
`)
	writeFlagCases(&b, "\t\t(")
	b.WriteString(`		esac
		compadd -- ${=flags}
		return
	fi
	for line in $cmds; do
		if [[ -z $cmd || $line == "$cmd "* ]]; then
			rest=${line#"${cmd:+$cmd }"}
			candidates+=("${rest%% *}")
		fi
	done
	if (( ${#candidates} )); then
		compadd -- ${(u)candidates}
	else
		_files
	fi
}
if [[ $funcstack[1] == _mox ]]; then
	_mox "$@"
else
	compdef _mox mox
fi
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeCompletionFish does the same for fish, which shows what commands do, too.
func writeCompletionFish(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Completion of mox for fish: mox completion fish > ~/.config/fish/completions/mox.fish
function __mox_words
	set -l tokens (commandline -opc)
	set -e tokens[1]
	set -l words
	set -l skip 0
	for t in $tokens
		if test $skip = 1
			set skip 0
		else if string match -q -r '^(` + valueFlags() + `)$' -- $t; and test (count $words) = 0
			set skip 1
		else if not string match -q -- '-*' $t
			set -a words $t
		end
	end
	string join ' ' -- $words
end
function __mox_at
	set -l words (__mox_words)
	test "$words" = "$argv"
end
function __mox_in
	set -l words (__mox_words)
	string match -q -- "$argv *" "$words "
end
complete -c mox -f -n '__mox_at ""'
`)
	type next struct{ at, word string }
	seen := map[next]bool{}
	for _, c := range listed() {
		words := strings.Fields(c.words)
		for i, word := range words {
			n := next{strings.Join(words[:i], " "), word}
			if seen[n] {
				continue
			}
			seen[n] = true
			fmt.Fprintf(&b, "complete -c mox -f -n %s -a %s", shellQuote(`__mox_at "`+n.at+`"`), word)
			if i == len(words)-1 {
				fmt.Fprintf(&b, " -d %s", shellQuote(strings.TrimSuffix(c.summary(), ".")))
			}
			b.WriteString("\n")
		}
		fs, _ := c.flags()
		fs.VisitAll(func(f *flag.Flag) {
			fmt.Fprintf(&b, "complete -c mox -n %s -o %s\n", shellQuote(`__mox_in "`+c.words+`"`), f.Name)
		})
	}
	var g globals
	g.flags().VisitAll(func(f *flag.Flag) {
		fmt.Fprintf(&b, "complete -c mox -n %s -o %s\n", shellQuote(`__mox_at ""`), f.Name)
	})
	_, err := io.WriteString(w, b.String())
	return err
}
