# Uses smtplib and imaplib against a server, see TestPython. Arguments are addresses
# (host:port) and the login; the last line of output says that all went well.
import imaplib, smtplib, ssl, sys, time
from email.message import EmailMessage

smtp, submission, submissions, imap, imaps, cafile, user, password = sys.argv[1:]
context = ssl.create_default_context(cafile=cafile)

def port(addr):
    return int(addr.rsplit(":", 1)[1])

def message(subject, text="text\n"):
    m = EmailMessage()
    m["From"] = user
    m["To"] = "Jöran <friend@elsewhere.example>"
    m["Subject"] = subject
    m.set_content(text)
    m.add_attachment(bytes(range(256)) * 100, maintype="application", subtype="octet-stream", filename="grüße.bin")
    return m

# Delivery, as from another server, also with names that are not ASCII.
with smtplib.SMTP("127.0.0.1", port(smtp)) as s:
    s.ehlo("client.example")
    assert s.has_extn("smtputf8") and s.has_extn("8bitmime") and s.has_extn("pipelining"), s.esmtp_features
    s.sendmail("sender@remote.example", ["a@localhost", "b@localhost"], message("python delivers").as_bytes())
    s.sendmail("sänder@remote.example", ["über@localhost"], message("python utf8").as_bytes(), mail_options=["SMTPUTF8", "BODY=8BITMIME"])
    refused = s.sendmail("sender@remote.example", ["a@localhost", "rcpttopermerror@localhost"], message("python half").as_bytes())
    assert refused["rcpttopermerror@localhost"][0] == 550, refused
    try:
        s.sendmail("sender@remote.example", ["permerror@localhost"], message("python refused").as_bytes())
        raise AssertionError("not refused")
    except smtplib.SMTPDataError as e:
        assert e.smtp_code == 550, e
    try:
        s.login(user, password)
        raise AssertionError("login for delivery")
    except smtplib.SMTPNotSupportedError:
        pass
    code, _ = s.docmd("MAIL", "FROM:<> SIZE=999999999999")
    assert code == 552, code

# Submission: without TLS, with STARTTLS, with TLS.
with smtplib.SMTP("127.0.0.1", port(submission)) as s:
    s.login(user, password)
    s.send_message(message("python submits plain"))
with smtplib.SMTP("localhost", port(submission)) as s:
    s.starttls(context=context)
    s.login(user, password)
    s.send_message(message("python submits starttls"))
with smtplib.SMTP_SSL("localhost", port(submissions), context=context) as s:
    try:
        s.login(user, "wrongwrong")
        raise AssertionError("wrong password")
    except smtplib.SMTPAuthenticationError as e:
        assert e.smtp_code == 535, e
    s.login(user, password)
    s.send_message(message("python submits tls"))

# Mailboxes and messages.
with imaplib.IMAP4_SSL("localhost", port(imaps), ssl_context=context) as m:
    m.login(user, password)
    def ok(r):
        assert r[0] == "OK", r
        return r[1]
    ok(m.create("python"))
    sent = message("python appends").as_bytes().replace(b"\n", b"\r\n")
    ok(m.append("python", r"(\Flagged)", imaplib.Time2Internaldate(time.time()), sent))
    ok(m.append("python", None, None, message("python appends again").as_bytes()))
    assert ok(m.select("python")) == [b"2"]
    assert ok(m.search(None, "FLAGGED")) == [b"1"]
    assert ok(m.search("UTF-8", "SUBJECT", '"again"')) == [b"2"]
    data = ok(m.fetch("1", "(BODY.PEEK[])"))
    assert data[0][1] == sent, data[0][1]
    ok(m.store("2", "+FLAGS", r"(\Seen $label)"))
    flags = imaplib.ParseFlags(ok(m.fetch("2", "(FLAGS)"))[0])
    assert set(flags) >= {rb"\Seen", b"$label"}, flags
    ok(m.copy("1:2", "Archive"))
    ok(m.store("1", "+FLAGS", r"(\Deleted)"))
    assert ok(m.expunge()) == [b"1"]
    assert ok(m.status("Archive", "(MESSAGES)"))[0].endswith(b"(MESSAGES 2)")
    typ, boxes = m.list()
    assert any(b"python" in b for b in boxes), boxes
    ok(m.unselect())
    ok(m.delete("python"))
    ok(m.enable("UTF8=ACCEPT"))
    ok(m.create('"Entwürfe"'))
    assert any("Entwürfe".encode() in b for b in ok(m.list())), "no name in UTF-8"

# IDLE, which imaplib does not know yet.
with imaplib.IMAP4("127.0.0.1", port(imap)) as m:
    m.starttls(ssl_context=ssl._create_unverified_context())
    m.login(user, password)
    n = int(m.select("INBOX")[1][0])
    m.send(b"X1 IDLE\r\n")
    assert m.readline().startswith(b"+")
    with smtplib.SMTP("127.0.0.1", port(smtp)) as s:
        s.sendmail("sender@remote.example", ["a@localhost"], message("python wakes").as_bytes())
    m.sock.settimeout(60)
    while True:
        line = m.readline()
        if line.endswith(b" EXISTS\r\n") and int(line.split()[1]) > n:
            break
    m.send(b"DONE\r\n")
    while not m.readline().startswith(b"X1 OK"):
        pass
print("python is done")
