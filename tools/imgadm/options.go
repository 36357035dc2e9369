package imgadm

import (
	"slices"
	"strings"
)

// option is one option of a command line.
type option struct {
	long  string
	short string // one character, or ""
	value bool   // takes one
	help  string
}

// flags are the options that were given, by their long names; those without
// value have "".
type flags map[string][]string

func (f flags) has(name string) bool { return len(f[name]) > 0 }

// get returns the last value.
func (f flags) get(name string) (string, bool) {
	if !f.has(name) {
		return "", false
	}
	return f[name][len(f[name])-1], true
}

func (f flags) text(name string) string {
	v, _ := f.get(name)
	return v
}

// splitCommand finds the subcommand, the first argument that is no option and
// no option's value.
func splitCommand(globals []option, args []string) (before []string, name string, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "-" || !strings.HasPrefix(arg, "-") {
			return args[:i], arg, args[i+1:], nil
		}
		if arg == "--" {
			break
		}
		open, err := needsNext(globals, arg)
		if err != nil {
			return nil, "", nil, err
		}
		if open {
			i++
		}
	}
	return args, "", nil, nil
}

// needsNext says whether an argument is an option whose value is the next one.
func needsNext(options []option, arg string) (bool, error) {
	f, next, err := one(options, arg)
	return err == nil && next != "" && f != nil, err
}

// parse reads options and other arguments, in any order; -- ends options. Long
// ones may be cut short and take their value after = or as the next argument,
// short ones may be joined.
func parse(options []option, args []string) (flags, []string, error) {
	all := make(flags)
	var positional []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			positional = append(positional, args[i+1:]...)
			break
		}
		if arg == "-" || !strings.HasPrefix(arg, "-") {
			positional = append(positional, arg)
			continue
		}
		got, next, err := one(options, arg)
		if err != nil {
			return nil, nil, err
		}
		if next != "" {
			if i++; i == len(args) {
				return nil, nil, usagef("option %s needs a value", arg)
			}
			got[next] = append(got[next], args[i])
		}
		for name, values := range got {
			all[name] = append(all[name], values...)
		}
	}
	return all, positional, nil
}

// one reads one argument; next names the option that takes its value from the
// next argument, "" if none does.
func one(options []option, arg string) (got flags, next string, err error) {
	got = make(flags)
	if long, ok := strings.CutPrefix(arg, "--"); ok {
		name, value, given := strings.Cut(long, "=")
		o, err := findLong(options, name)
		switch {
		case err != nil:
			return nil, "", err
		case given && !o.value:
			return nil, "", usagef("option --%s takes no value", o.long)
		case o.value && !given:
			return got, o.long, nil
		}
		got[o.long] = []string{value}
		return got, "", nil
	}
	for rest := arg[1:]; rest != ""; {
		i := slices.IndexFunc(options, func(o option) bool { return o.short == rest[:1] })
		if i < 0 {
			return nil, "", coded("UnknownOption", "unknown option: \"-%s\"", rest[:1])
		}
		o := options[i]
		rest = rest[1:]
		switch {
		case !o.value:
			got[o.long] = append(got[o.long], "")
		case rest == "":
			return got, o.long, nil
		default:
			got[o.long] = append(got[o.long], rest)
			rest = ""
		}
	}
	return got, "", nil
}

func findLong(options []option, name string) (option, error) {
	var fit []option
	for _, o := range options {
		if o.long == name {
			return o, nil
		}
		if name != "" && strings.HasPrefix(o.long, name) {
			fit = append(fit, o)
		}
	}
	switch len(fit) {
	case 0:
		return option{}, coded("UnknownOption", "unknown option: \"--%s\"", name)
	case 1:
		return fit[0], nil
	}
	names := make([]string, len(fit))
	for i, o := range fit {
		names[i] = "--" + o.long
	}
	return option{}, coded("UnknownOption", "option \"--%s\" could be any of %s", name, strings.Join(names, ", "))
}
