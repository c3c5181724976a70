package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// post is a small mail server, which refuses whoever is called nobody.
type post struct {
	sync.Mutex
	mails []string
}

var office post

func (p *post) serve(connection net.Conn) {
	defer connection.Close()
	say := func(line string) { fmt.Fprintf(connection, "%s\r\n", line) }
	say("220 ready")
	var mail []string
	inside := false
	lines := bufio.NewScanner(connection)
	for lines.Scan() {
		switch line := lines.Text(); {
		case inside && line == ".":
			p.Lock()
			p.mails, mail, inside = append(p.mails, strings.Join(mail, "\n")), nil, false
			p.Unlock()
			say("250 taken")
		case inside:
			mail = append(mail, line)
		case line == "DATA":
			inside = true
			say("354 go on")
		case strings.HasPrefix(line, "RCPT TO:<nobody@"):
			say("550 who?")
		case strings.HasPrefix(line, "QUIT"):
			say("221 bye")
		default:
			say("250 ok")
		}
	}
}

func TestMain(m *testing.M) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go office.serve(connection)
		}
	}()
	folder, err := os.MkdirTemp("", "delivered")
	if err != nil {
		panic(err)
	}
	os.Setenv("SMTP_URL", "smtp://"+listener.Addr().String())
	os.Setenv("DATA", folder)
	if err := prepare(); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

func message(n int) map[string]string {
	return map[string]string{
		"id":      fmt.Sprintf("0198c2f6-7a51-7000-8000-%012x", n),
		"channel": "email", "to": "ada@bank.example", "topic": "payment.booked",
		"order": "payment-1", "subject": "Bezahlt: fünf Gulden",
		"text": "Your payment was booked.\n.\nThat is all.",
	}
}

func given(t *testing.T, wait time.Duration, messages ...map[string]string) []string {
	t.Helper()
	batch := Batch{Tenant: 7, Deadline: time.Now().Add(wait)}
	for _, message := range messages {
		text, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		batch.Items = append(batch.Items, text)
	}
	var found []string
	for _, result := range answerBatch(batch) {
		if result.Problem != nil {
			found = append(found, result.Problem.Code)
		} else {
			text, _ := json.Marshal(result.Answer)
			found = append(found, string(text))
		}
	}
	return found
}

func TestAMessageIsDeliveredOnceAndARepeatGetsTheSameAnswer(t *testing.T) {
	first := given(t, 5*time.Second, message(1))[0]
	if err := prepare(); err != nil { // as after a restart
		t.Fatal(err)
	}
	if again := given(t, 5*time.Second, message(1))[0]; again != first {
		t.Errorf("%s, then %s", first, again)
	}
	var sent []string
	for _, mail := range office.mails {
		if strings.Contains(mail, message(1)["id"]) {
			sent = append(sent, mail)
		}
	}
	if len(sent) != 1 {
		t.Fatalf("sent %d times", len(sent))
	}
	_, body, _ := strings.Cut(sent[0], "\n\n")
	text, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", ""))
	if err != nil || string(text) != message(1)["text"] {
		t.Errorf("%q %v", text, err)
	}
}

func TestTheSameIDWithAnotherMessageIsRefused(t *testing.T) {
	other := message(2)
	given(t, 5*time.Second, message(2))
	other["text"] = "Another text."
	if found := given(t, 5*time.Second, other)[0]; found != "message-differs" {
		t.Error(found)
	}
}

func TestWhatNeverArrivesIsToldFromWhatMayArriveLater(t *testing.T) {
	unknown, broken, webhook := message(3), message(4), message(5)
	unknown["to"], broken["to"] = "nobody@bank.example", "a@b.example\r\nRCPT"
	webhook["channel"] = "webhook"
	for _, found := range given(t, 5*time.Second, unknown, broken) {
		if found != "undeliverable" {
			t.Error(found)
		}
	}
	if found := given(t, 5*time.Second, webhook)[0]; found != "channel-disclaimed" {
		t.Error(found)
	}
	if found := given(t, -time.Second, message(6))[0]; found != "unavailable" {
		t.Error(found)
	}
}

func TestMessagesGoOutInTheOrderOfTheirIDs(t *testing.T) {
	began := len(office.mails)
	given(t, 5*time.Second, message(12), message(11), message(10))
	var ids []string
	for _, mail := range office.mails[began:] {
		_, rest, _ := strings.Cut(mail, "Message-ID: ")
		ids = append(ids, rest[:40])
	}
	if len(ids) != 3 || !sort.StringsAreSorted(ids) {
		t.Error(ids)
	}
}
