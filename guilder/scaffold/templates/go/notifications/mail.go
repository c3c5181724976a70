package main

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/smtp"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Mail is ready to be handed over. MessageID is also the carrier's reference: the same at a
// repeat, so that a mailbox can tell one.
type Mail struct{ From, To, MessageID, Subject, Text string }

func undeliverable(detail string) *Problem {
	return problem("undeliverable", 422, "This address never takes the message", detail,
		"Correct the address; this message is not tried again.")
}

func unavailable(detail string) *Problem {
	return problem("unavailable", 503, "Not available at the moment", detail,
		"Repeat the request later; it is safe.")
}

// send hands a mail over by SMTP where an address is set, else into a folder, to look at:
// smtp://host:25 (a relay of one's own network) or smtps://user:password@host:465.
func send(address, folder string, mail Mail, deadline time.Time) error {
	if address == "" {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		name := strings.Trim(mail.MessageID, "<>") + ".eml"
		return os.WriteFile(filepath.Join(folder, name), mail.format(), 0o600)
	}
	err := bySMTP(address, mail, deadline)
	var said *textproto.Error
	if errors.As(err, &said) { // its own words may hold the address: only the code is passed on
		if said.Code >= 500 {
			return undeliverable(fmt.Sprintf("the mail server answers %d", said.Code))
		}
		return unavailable(fmt.Sprintf("the mail server answers %d", said.Code))
	}
	if err != nil {
		return unavailable("the mail server does not answer")
	}
	return nil
}

func bySMTP(address string, mail Mail, deadline time.Time) error {
	target, err := url.Parse(address)
	if err != nil {
		return err
	}
	secure, port := target.Scheme == "smtps", target.Port()
	if port == "" {
		port = map[bool]string{true: "465", false: "25"}[secure]
	}
	dialer := net.Dialer{Deadline: deadline}
	connection, err := dialer.Dial("tcp", net.JoinHostPort(target.Hostname(), port))
	if err != nil {
		return err
	}
	defer connection.Close()
	if err := connection.SetDeadline(deadline); err != nil {
		return err
	}
	if secure {
		connection = tls.Client(connection, &tls.Config{ServerName: target.Hostname()})
	}
	client, err := smtp.NewClient(connection, target.Hostname())
	if err != nil {
		return err
	}
	if target.User != nil && secure {
		password, _ := target.User.Password()
		login := smtp.PlainAuth("", target.User.Username(), password, target.Hostname())
		if err := client.Auth(login); err != nil {
			return errors.New("the login is refused") // ours to mend: no fault of the message
		}
	}
	if err := client.Mail(mail.From); err != nil {
		return err
	}
	if err := client.Rcpt(mail.To); err != nil {
		return err
	}
	data, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := data.Write(mail.format()); err != nil {
		return err
	}
	if err := data.Close(); err != nil {
		return err
	}
	_ = client.Quit()
	return nil
}

// format follows RFC 5322. The text is base64, so no line of it is too long or looks like the end.
func (m Mail) format() []byte {
	text := base64.StdEncoding.EncodeToString([]byte(m.Text))
	lines := []string{
		"From: " + m.From,
		"To: " + m.To,
		"Subject: " + strings.ReplaceAll(mime.BEncoding.Encode("utf-8", m.Subject), "?= =", "?=\r\n ="),
		"Message-ID: " + m.MessageID,
		"Date: " + time.Now().UTC().Format(time.RFC1123Z),
		"MIME-Version: 1.0",
		"Content-Type: text/plain; charset=utf-8",
		"Content-Transfer-Encoding: base64",
		"",
	}
	for len(text) > 76 {
		lines, text = append(lines, text[:76]), text[76:]
	}
	return []byte(strings.Join(append(lines, text, ""), "\r\n"))
}
