package daemon

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"mox/internal/authdb"
	"mox/internal/ctl"
	"mox/smtp"
)

// ctlTLSPubKeyList lists the keys of client certificates.
//
//	account, empty for all
//	"ok"
//	number of keys
//	fingerprint, account, login address, type, time and name with tabs in between, for each,
//	and "no-imap-preauth" if that is so
func (d *Daemon) ctlTLSPubKeyList(ctx context.Context, c *ctl.Conn) error {
	account, err := c.ReadLine()
	if err != nil {
		return err
	}
	keys, err := d.authDB.TLSPublicKeys(ctx, account)
	if err != nil {
		return err
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	if err := c.WriteLine(strconv.Itoa(len(keys))); err != nil {
		return err
	}
	for _, k := range keys {
		if err := c.WriteLine(tlsPubKeyLine(k)); err != nil {
			return err
		}
	}
	return nil
}

// noIMAPPreauth is how TLSPublicKey.NoIMAPPreauth is written.
const noIMAPPreauth = "no-imap-preauth"

func tlsPubKeyLine(k authdb.TLSPublicKey) string {
	line := fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", k.Fingerprint, k.Account, k.LoginAddress, k.Type, k.Created.UTC().Format(time.RFC3339), k.Name)
	if k.NoIMAPPreauth {
		line += "\t" + noIMAPPreauth
	}
	return line
}

// ctlTLSPubKeyGet returns a key.
//
//	fingerprint
//	"ok"
//	as in a line of the list
//	certificate in base64
func (d *Daemon) ctlTLSPubKeyGet(ctx context.Context, c *ctl.Conn) error {
	fingerprint, err := c.ReadLine()
	if err != nil {
		return err
	}
	k, err := d.authDB.TLSPublicKey(ctx, fingerprint)
	if err != nil {
		return err
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	if err := c.WriteLine(tlsPubKeyLine(k)); err != nil {
		return err
	}
	return c.WriteLine(base64.StdEncoding.EncodeToString(k.Certificate))
}

// ctlTLSPubKeyAdd adds a key.
//
//	login address
//	name
//	certificate in base64
//	"no-imap-preauth", or empty
//	"ok"
//	fingerprint
func (d *Daemon) ctlTLSPubKeyAdd(ctx context.Context, c *ctl.Conn) error {
	var args [4]string
	for i := range args {
		var err error
		if args[i], err = c.ReadLine(); err != nil {
			return err
		}
	}
	addr, err := smtp.ParseAddress(args[0], smtp.Lenient)
	if err != nil {
		return fmt.Errorf("parse address: %w", err)
	}
	account, ok := d.conf.Snapshot().LoginAccount(addr)
	if !ok {
		return fmt.Errorf("no account has login address %s", addr)
	}
	der, err := base64.StdEncoding.DecodeString(args[2])
	if err != nil {
		return errors.New("certificate is not base64")
	}
	k, err := authdb.NewTLSPublicKey(der, account.Name, addr.String(), args[1])
	if err != nil {
		return err
	}
	k.NoIMAPPreauth = args[3] == noIMAPPreauth
	if err := d.authDB.AddTLSPublicKey(ctx, k); err != nil {
		return err
	}
	d.log.Info("public key for login added", "account", k.Account, "fingerprint", k.Fingerprint, "name", k.Name)
	if err := c.WriteOK(); err != nil {
		return err
	}
	return c.WriteLine(k.Fingerprint)
}

// ctlTLSPubKeyRemove removes a key, and ends sessions that have logged in with it.
//
//	fingerprint
//	"ok"
func (d *Daemon) ctlTLSPubKeyRemove(ctx context.Context, c *ctl.Conn) error {
	fingerprint, err := c.ReadLine()
	if err != nil {
		return err
	}
	if err := d.authDB.RemoveTLSPublicKey(ctx, fingerprint); err != nil {
		return err
	}
	d.log.Info("public key for login removed", "fingerprint", fingerprint)
	d.checker.Recheck(ctx, "")
	return c.WriteOK()
}
