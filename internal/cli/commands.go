package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// command is a row of the table.
type command struct {
	words string // What is typed, "config test".
	args  string // Arguments for the usage line, "[account ...]".
	help  string // First a line with what it does, then an empty line, then more.

	// setup defines flags and returns what runs the command.
	setup func(fs *flag.FlagSet) runFunc

	// unlisted commands are for developers, and are not in the usage of the program.
	unlisted bool

	// dashed says that there are no flags, and that arguments can begin with a dash, as
	// some fingerprints do.
	dashed bool
}

// runFunc runs a command with the arguments that are left after flags.
type runFunc func(ctx context.Context, e *env, args []string) error

// commands are all commands, in the order of the help text.
func commands() []command {
	return slices.Concat(
		serverCommands(),
		dataCommands(),
		configCommands(),
		loginCommands(),
		queueCommands(),
		protocolCommands(),
		junkCommands(),
		programCommands(),
	)
}

// serverCommands are about the server, and mail that it is given.
func serverCommands() []command {
	return []command{
		cmdServe,
		cmdQuickstart,
		cmdLocalserve,
		cmdStop,
		cmdStatus,
		cmdHealthcheck,
		cmdSetAccountPassword,
		cmdLogLevels,
		cmdCid,
		cmdDeliver,
		cmdAdminIMAPServe,
		cmdSendmail,
		cmdTrace,
		cmdSendersList,
		cmdSendersAllow,
		cmdSendersBlock,
		cmdSendersRemove,
		cmdReputation,
	}
}

// dataCommands are about what is kept on disk.
func dataCommands() []command {
	return []command{
		cmdRetrain,
		cmdSearchRebuild,
		cmdBackupList,
		cmdBackupVerify,
		cmdBackupPrune,
		cmdBackup,
		cmdRestoreList,
		cmdRestoreAccount,
		cmdRestoreMessages,
		cmdRestore,
		cmdImportMbox,
		cmdImportMaildir,
		cmdImportIMAP,
		cmdImportList,
		cmdImportAbort,
		cmdExportMbox,
		cmdExportMaildir,
		cmdUndeleteList,
		cmdUndeleteRestore,
		cmdUndeletePurge,
		cmdVerifyData,
		cmdRecalculateMailboxCounts,
		cmdFixMsgSize,
		cmdEnsureParsed,
		cmdReparse,
		cmdFixUIDMeta,
		cmdReassignUIDs,
		cmdBumpUIDValidity,
		cmdReassignThreads,
		cmdCompact,
		cmdUpgradeStatus,
		cmdUpgradeFinish,
		cmdUpgradeBack,
		cmdGenTestData,
	}
}

// configCommands are about the configuration.
func configCommands() []command {
	return []command{
		cmdConfigTest,
		cmdConfigCheck,
		cmdConfigDescribeStatic,
		cmdConfigDescribeDomains,
		cmdConfigExample,
		cmdConfigPrintService,
		cmdConfigEnsureHostKeys,
		cmdConfigTLSARecords,
		cmdConfigRollHostKey,
		cmdConfigAccountList,
		cmdConfigAccountAddresses,
		cmdConfigAccountAdd,
		cmdConfigAccountRename,
		cmdConfigAccountRemove,
		cmdConfigAccountDisable,
		cmdConfigAccountEnable,
		cmdConfigAddressAdd,
		cmdConfigAddressRemove,
		cmdConfigAddressAccount,
		cmdConfigDomainAdd,
		cmdConfigDomainRemove,
		cmdConfigDomainDisable,
		cmdConfigDomainEnable,
		cmdConfigDKIMRotate,
		cmdConfigDKIMStatus,
		cmdConfigAliasList,
		cmdConfigAliasPrint,
		cmdConfigAliasAdd,
		cmdConfigAliasUpdate,
		cmdConfigAliasRemove,
		cmdConfigAliasAddAddr,
		cmdConfigAliasRemoveAddr,
		cmdConfigDNSRecords,
		cmdConfigDNSCheck,
		cmdConfigDescribeSendmail,
		cmdClientConfig,
	}
}

// loginCommands are about how users log in.
func loginCommands() []command {
	return []command{
		cmdTLSPubKeyList,
		cmdTLSPubKeyGet,
		cmdTLSPubKeyAdd,
		cmdTLSPubKeyRemove,
		cmdTLSPubKeyGen,
		cmdAppPasswordList,
		cmdAppPasswordAdd,
		cmdAppPasswordRemove,
		cmdLoginAttempts,
	}
}

// queueCommands are about the queue.
func queueCommands() []command {
	return []command{
		cmdQueueList,
		cmdQueueHold,
		cmdQueueUnhold,
		cmdQueueSchedule,
		cmdQueueTransport,
		cmdQueueRequireTLS,
		cmdQueueFail,
		cmdQueueDrop,
		cmdQueueDump,
		cmdQueueHoldRulesList,
		cmdQueueHoldRulesAdd,
		cmdQueueHoldRulesRemove,
		cmdQueueRetiredList,
		cmdQueueRetiredPrint,
		cmdQueueSuppressList,
		cmdQueueSuppressAdd,
		cmdQueueSuppressRemove,
		cmdQueueSuppressLookup,
	}
}

// protocolCommands are about messages, DNS and other servers, for looking into things.
func protocolCommands() []command {
	return []command{
		cmdMessageParse,
		cmdDNSLookup,
		cmdSPFParse,
		cmdSPFLookup,
		cmdSPFCheck,
		cmdDKIMGenEd25519,
		cmdDKIMGenRSA,
		cmdDKIMTXT,
		cmdDKIMLookup,
		cmdDKIMSign,
		cmdDKIMVerify,
		cmdIPRevCheck,
		cmdDNSBLCheck,
		cmdDNSBLCheckHealth,
		cmdDMARCLookup,
		cmdDMARCVerify,
		cmdDMARCCheckReportAddrs,
		cmdDMARCParseReportMsg,
		cmdDMARCDBAddReport,
		cmdMTASTSLookup,
		cmdRDAPDomainAge,
		cmdTLSRPTLookup,
		cmdTLSRPTParseReportMsg,
		cmdTLSRPTDBAddReport,
		cmdDANEDial,
		cmdDANEDialMX,
		cmdDANEMakeRecord,
		cmdSMTPDial,
	}
}

// junkCommands are about junk filters in files.
func junkCommands() []command {
	return []command{
		cmdJunkTrain,
		cmdJunkTest,
		cmdJunkCheck,
		cmdJunkAnalyze,
		cmdJunkPlay,
	}
}

// programCommands are about the program itself.
func programCommands() []command {
	return []command{
		cmdCheckUpdate,
		cmdUpdatesGenKey,
		cmdUpdatesPubKey,
		cmdUpdatesAddSigned,
		cmdUpdatesVerify,
		cmdUpdatesServe,
		cmdCompletion(),
		cmdVersion,
		cmdLicenses,
		cmdHelp(),
		cmdHelpAll(),
	}
}

// flags returns a set with the flags of a command, and what runs it.
func (c command) flags() (*flag.FlagSet, runFunc) {
	fs := flag.NewFlagSet(c.words, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	run := c.setup(fs)
	return fs, run
}

// usage returns the usage line, "mox verifydata [-fix] [datadir]".
func (c command) usage() string {
	parts := []string{"mox", c.words}
	fs, _ := c.flags()
	fs.VisitAll(func(f *flag.Flag) {
		name, _ := flag.UnquoteUsage(f)
		if name != "" {
			name = " " + name
		}
		parts = append(parts, "[-"+f.Name+name+"]")
	})
	if c.args != "" {
		parts = append(parts, c.args)
	}
	return strings.Join(parts, " ")
}

// summary returns the first line of the help text.
func (c command) summary() string {
	s, _, _ := strings.Cut(c.help, "\n")
	return s
}

// writeHelp writes all there is to say about a command.
func (c command) writeHelp(w io.Writer) {
	fmt.Fprintf(w, "usage: %s\n\n%s\n", c.usage(), strings.TrimSpace(c.help))
	fs, _ := c.flags()
	writeFlags(w, fs)
}

// writeFlags writes the documentation of flags, if there are any.
func writeFlags(w io.Writer, fs *flag.FlagSet) {
	first := true
	fs.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprintln(w)
			first = false
		}
		name, text := flag.UnquoteUsage(f)
		if name != "" {
			name = " " + name
		}
		fmt.Fprintf(w, "  -%s%s\n\t%s\n", f.Name, name, strings.ReplaceAll(text, "\n", "\n\t"))
	})
}

// findCommand returns the command that args start with and what is left of args. If
// there is none, candidates are those that start with the words in args, for which
// more is to be typed.
func findCommand(args []string) (c command, rest []string, ok bool, candidates []command) {
	for _, c := range commands() {
		words := strings.Fields(c.words)
		n := len(words)
		if len(args) >= n && slices.Equal(args[:n], words) {
			return c, args[n:], true, nil
		}
		if len(args) < n && slices.Equal(args, words[:len(args)]) {
			candidates = append(candidates, c)
		}
	}
	if len(candidates) == 0 && len(args) > 1 {
		_, _, _, candidates = findCommand(args[:1])
	}
	return command{}, nil, false, candidates
}
