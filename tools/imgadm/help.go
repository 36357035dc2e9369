package imgadm

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

func (a *app) help(context.Context) error {
	if len(a.args) == 0 {
		return a.usage()
	}
	i := slices.IndexFunc(a.commands(), func(c command) bool { return slices.Contains(c.names, a.args[0]) })
	if i < 0 {
		return coded("UnknownCommand", "unknown command: %q", a.args[0])
	}
	return a.commandUsage(a.commands()[i])
}

func (a *app) usage() error {
	var b strings.Builder
	fmt.Fprintf(&b, "Work with an image server.\n\nUsage:\n    %s [OPTIONS] COMMAND [ARGUMENTS]\n\nOptions:\n", a.tool.name)
	writeOptions(&b, a.globals())
	b.WriteString("\nCommands:\n")
	for _, c := range a.commands() {
		names := c.names[0]
		if len(c.names) > 1 {
			names += " (" + strings.Join(c.names[1:], ", ") + ")"
		}
		fmt.Fprintf(&b, "    %-20s  %s\n", names, c.help)
	}
	b.WriteString("\nEnvironment:\n")
	vars := []string{"URL", "USER", "IDENTITY", "INSECURE"}
	if a.tool.channels {
		vars = append(vars, "CHANNEL")
	}
	for _, v := range vars {
		fmt.Fprintf(&b, "    %s%s\n", a.tool.env[0], v)
	}
	_, err := a.Stdout.Write([]byte(b.String()))
	return err
}

func (a *app) commandUsage(c command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\nUsage:\n    %s %s", strings.ToUpper(c.help[:1])+c.help[1:], a.tool.name, c.names[0])
	if len(c.options) > 0 {
		b.WriteString(" [OPTIONS]")
	}
	if c.args != "" {
		b.WriteString(" " + c.args)
	}
	b.WriteString("\n")
	if len(c.options) > 0 {
		b.WriteString("\nOptions:\n")
		writeOptions(&b, c.options)
	}
	_, err := a.Stdout.Write([]byte(b.String()))
	return err
}

func writeOptions(b *strings.Builder, options []option) {
	for _, o := range options {
		s := "    "
		if o.short != "" {
			s = "-" + o.short + ", "
		}
		s += "--" + o.long
		if o.value {
			s += " ARG"
		}
		fmt.Fprintf(b, "    %-26s  %s\n", s, o.help)
	}
}
