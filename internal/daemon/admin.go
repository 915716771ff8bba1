package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"mox/config"
	"mox/internal/admin"
	"mox/internal/ctl"
)

// adminCommand is a command that changes or lists what is configured.
type adminCommand struct {
	params int // Lines after the command.
	run    func(ctx context.Context, a *admin.Admin, p []string) ([]string, error)
}

// adminCommands returns the commands of the control socket about what is configured. Each has
// a number of parameters, and is answered with
//
//	"ok"
//	number of lines
//	lines, with tabs between columns
func (d *Daemon) adminCommands() map[string]ctl.Handler {
	m := map[string]ctl.Handler{}
	table := map[string]adminCommand{}
	for _, t := range []map[string]adminCommand{domainCommands, accountCommands, aliasCommands, dkimCommands} {
		maps.Copy(table, t)
	}
	for name, c := range table {
		m[name] = func(ctx context.Context, conn *ctl.Conn) error {
			params, err := readArgs(conn, c.params)
			if err != nil {
				return err
			}
			lines, err := c.run(ctx, d.admin, params)
			if err != nil {
				return err
			}
			return writeLines(conn, lines)
		}
	}
	return m
}

// parseMembers parses a list of addresses in JSON.
func parseMembers(s string) ([]string, error) {
	var l []string
	if err := json.Unmarshal([]byte(s), &l); err != nil {
		return nil, fmt.Errorf("list of members: %w", err)
	}
	if len(l) > config.MaxAliasMembers {
		return nil, fmt.Errorf("%d members are more than %d", len(l), config.MaxAliasMembers)
	}
	return l, nil
}

// domainCommands are about domains. Comments name the parameters.
var domainCommands = map[string]adminCommand{
	// domain, account, localpart or empty, disabled or empty
	"domainadd": {4, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		return nil, a.AddDomain(ctx, admin.NewDomain{Domain: p[0], Account: p[1], Localpart: p[2], Disabled: p[3] != ""})
	}},
	// domain
	"domainrm": {1, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		return nil, a.RemoveDomain(ctx, p[0])
	}},
	// domain, true or false
	"domaindisabled": {2, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		disabled, err := strconv.ParseBool(p[1])
		if err != nil {
			return nil, err
		}
		return nil, a.SetDomainDisabled(ctx, p[0], disabled)
	}},
}

// accountCommands are about accounts and their addresses.
var accountCommands = map[string]adminCommand{
	// account, address
	"accountadd": {2, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		return nil, a.AddAccount(ctx, p[0], p[1])
	}},
	// account, file or directory for its messages or empty, whether to drop messages in the
	// queue
	"accountrm": {3, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		n, err := a.RemoveAccount(ctx, p[0], admin.RemoveOptions{Export: p[1], DropQueue: p[2] != ""})
		return removedLines(p[0], p[1], n), err
	}},
	// account, new name
	"accountrename": {2, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		return nil, a.RenameAccount(ctx, p[0], p[1])
	}},
	"accountlist": {0, func(_ context.Context, a *admin.Admin, _ []string) (lines []string, err error) {
		for _, acc := range a.Accounts() {
			lines = append(lines, strings.TrimSuffix(acc.Name+"\t"+acc.LoginDisabled, "\t"))
		}
		return lines, nil
	}},
	// account
	"accountaddresses": {1, func(_ context.Context, a *admin.Admin, p []string) ([]string, error) {
		acc, err := a.Account(p[0])
		return acc.Addresses, err
	}},
	// account, text
	"accountdisabled": {2, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		return nil, a.DisableAccount(ctx, p[0], p[1])
	}},
	// account
	"accountenable": {1, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		return nil, a.EnableAccount(ctx, p[0])
	}},
	// address, account
	"addressadd": {2, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		return nil, a.AddAddress(ctx, p[0], p[1])
	}},
	// address
	"addressrm": {1, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		return nil, a.RemoveAddress(ctx, p[0])
	}},
	// address
	"addressaccount": {1, func(_ context.Context, a *admin.Admin, p []string) ([]string, error) {
		account, err := a.AddressAccount(p[0])
		return []string{account}, err
	}},
}

// aliasCommands are about aliases.
var aliasCommands = map[string]adminCommand{
	// domain
	"aliaslist": {1, func(_ context.Context, a *admin.Admin, p []string) (lines []string, err error) {
		l, err := a.Aliases(p[0])
		for _, al := range l {
			lines = append(lines, al.Address+"\t"+strings.Join(al.Fields.Addresses, ","))
		}
		return lines, err
	}},
	// alias
	"aliasprint": {1, func(_ context.Context, a *admin.Admin, p []string) ([]string, error) {
		al, err := a.Alias(p[0])
		if err != nil {
			return nil, err
		}
		lines := []string{
			fmt.Sprintf("# postpublic %v", al.Fields.PostPublic),
			fmt.Sprintf("# listmembers %v", al.Fields.ListMembers),
			fmt.Sprintf("# allowmsgfrom %v", al.Fields.AllowMsgFrom),
		}
		return append(lines, al.Fields.Addresses...), nil
	}},
	// alias, members in JSON
	"aliasadd": {2, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		members, err := parseMembers(p[1])
		if err != nil {
			return nil, err
		}
		return nil, a.AddAlias(ctx, p[0], config.AliasFields{Addresses: members, PostPublic: true})
	}},
	// alias, and for public posting, listing of members and sending as the alias true, false
	// or nothing
	"aliasupdate": {4, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		var values [3]*bool
		for i, s := range p[1:] {
			if s == "" {
				continue
			}
			b, err := strconv.ParseBool(s)
			if err != nil {
				return nil, err
			}
			values[i] = &b
		}
		return nil, a.UpdateAlias(ctx, p[0], admin.AliasChange{PostPublic: values[0], ListMembers: values[1], AllowMsgFrom: values[2]})
	}},
	// alias
	"aliasrm": {1, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		return nil, a.RemoveAlias(ctx, p[0])
	}},
	// alias, members in JSON
	"aliasaddaddr": {2, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		members, err := parseMembers(p[1])
		if err != nil {
			return nil, err
		}
		return nil, a.AddMembers(ctx, p[0], members...)
	}},
	// alias, members in JSON
	"aliasrmaddr": {2, func(ctx context.Context, a *admin.Admin, p []string) ([]string, error) {
		members, err := parseMembers(p[1])
		if err != nil {
			return nil, err
		}
		return nil, a.RemoveMembers(ctx, p[0], members...)
	}},
}
