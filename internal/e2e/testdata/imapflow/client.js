// Uses ImapFlow against a server, see TestImapFlow. Arguments are the port of IMAP with
// TLS, the file with its certificate, and the login. It says "waiting" when it waits for a
// message with the subject "imapflow wakes", and at the end that all went well.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const { ImapFlow } = require('imapflow');

const [port, cert, user, pass] = process.argv.slice(2);

function connection(qresync) {
    return new ImapFlow({
        host: 'localhost',
        port: Number(port),
        secure: true,
        tls: { ca: fs.readFileSync(cert) },
        auth: { user, pass },
        qresync,
        logger: false
    });
}

const message = subject =>
    `From: Jöran <friend@elsewhere.example>\r\nTo: ${user}\r\nSubject: ${subject}\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\n` +
    'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n' +
    '--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n' +
    '--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="a.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n';

async function all(iterable) {
    const l = [];
    for await (const m of iterable) {
        l.push(m);
    }
    return l;
}

// What a program of mail does in a day.
async function day(c) {
    await c.mailboxCreate('Entwürfe/ImapFlow');
    const boxes = await c.list({ statusQuery: { messages: true, unseen: true, uidNext: true, highestModseq: true } });
    assert(boxes.some(b => b.path === 'Entwürfe/ImapFlow' && b.status.messages === 0), 'no new mailbox');
    assert(boxes.some(b => b.specialUse === '\\Sent'), 'no mailbox for sent messages');

    for (let i = 0; i < 5; i++) {
        const r = await c.append('INBOX', message(`imapflow ${i}`), i ? [] : ['\\Seen'], new Date('2020-02-03T04:05:06Z'));
        assert.strictEqual(r.uid, i + 1);
    }
    const lock = await c.getMailboxLock('INBOX');
    try {
        assert.strictEqual(c.mailbox.exists, 5);
        const l = await all(c.fetch('1:*', { uid: true, flags: true, envelope: true, bodyStructure: true, size: true, internalDate: true, threadId: true }));
        assert.deepStrictEqual(l.map(m => m.envelope.subject), [0, 1, 2, 3, 4].map(i => `imapflow ${i}`));
        assert.strictEqual(l[0].envelope.from[0].name, 'Jöran');
        assert.strictEqual(l[0].bodyStructure.childNodes[1].dispositionParameters.filename, 'a.bin');
        assert.strictEqual(l[0].internalDate.getTime(), Date.parse('2020-02-03T04:05:06Z'));
        assert(l[0].modseq > 0n, 'no modification sequence');
        const { content } = await c.download('2', '1');
        assert.strictEqual((await all(content)).map(b => b.toString()).join('').trim(), 'Grüße');
        const one = await c.fetchOne('2', { source: true });
        assert.strictEqual(one.source.toString(), message('imapflow 1'));

        assert.deepStrictEqual(await c.search({ seen: true }), [1]);
        assert.deepStrictEqual(await c.search({ subject: 'imapflow 3' }, { uid: true }), [4]);
        assert.deepStrictEqual(await c.search({ body: 'grüße', from: 'jöran' }), [1, 2, 3, 4, 5]);
        assert(await c.messageFlagsAdd('2:3', ['\\Flagged', '$Label']));
        assert.deepStrictEqual(await c.search({ flagged: true, keyword: '$Label' }), [2, 3]);
        assert(await c.messageFlagsRemove({ keyword: '$Label' }, ['$Label']));
        const moved = await c.messageMove('4', 'Entwürfe/ImapFlow', { uid: true });
        assert.deepStrictEqual([...moved.uidMap], [[4, 1]]);
        await c.messageCopy('1', 'Entwürfe/ImapFlow');
        assert(await c.messageDelete('5', { uid: true }));
        assert.strictEqual(c.mailbox.exists, 3);
    } finally {
        lock.release();
    }
    assert.strictEqual((await c.status('Entwürfe/ImapFlow', { messages: true })).messages, 2);
    await c.mailboxRename('Entwürfe/ImapFlow', 'Fluß');
    await c.mailboxDelete('Fluß');
    assert((await c.getQuota()) !== undefined);
}

// Modification sequences, and UIDs instead of numbers for what is gone.
async function resync(c) {
    const q = connection(true);
    await q.connect();
    const { highestModseq } = await q.mailboxOpen('INBOX');
    await c.mailboxOpen('INBOX');
    const expunged = new Promise(resolve => q.once('expunge', resolve));
    await c.append('INBOX', message('imapflow gone'));
    await q.noop();
    await c.messageFlagsAdd('2', ['\\Draft']);
    await c.messageDelete('4');
    await q.noop();
    assert.strictEqual(c.mailbox.exists, 3);
    assert.deepStrictEqual(await expunged, { path: 'INBOX', uid: 6, vanished: true, earlier: false });
    const changed = await all(q.fetch('1:*', { uid: true, flags: true }, { changedSince: highestModseq }));
    assert.deepStrictEqual(changed.map(m => [m.uid, m.flags.has('\\Draft')]), [[2, true]]);
    await q.logout();
}

// Two connections: what one changes the other is told while it waits.
async function wait(c) {
    const other = connection();
    await other.connect();
    await c.mailboxOpen('INBOX');
    await other.mailboxOpen('INBOX');
    const expunged = new Promise(resolve => c.once('expunge', resolve));
    const flags = new Promise(resolve => c.once('flags', resolve));
    const exists = new Promise(resolve => c.once('exists', resolve));
    const idle = c.idle();
    await other.messageFlagsAdd('3', ['\\Answered']);
    assert((await flags).flags.has('\\Answered'));
    await other.messageDelete('1');
    await expunged;
    await other.logout();
    console.log('waiting');
    const e = await exists;
    assert.deepStrictEqual([e.prevCount, e.count], [2, 3]);
    const m = await c.fetchOne('*', { envelope: true });
    assert.strictEqual(m.envelope.subject, 'imapflow wakes');
    await idle;
}

async function main() {
    const c = connection();
    await c.connect();
    await day(c);
    await resync(c);
    await wait(c);
    await c.logout();
    console.log('imapflow is done');
}

main().catch(err => {
    console.error(err, err.response);
    process.exit(1);
});
