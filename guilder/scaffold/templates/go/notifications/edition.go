package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"
)

// Delivers messages by mail, each once. This is the file to change.

const (
	contract        = "notifications"
	contractVersion = "__CONTRACT_VERSION__"
	editionLetter   = "__EDITION__"
	version         = "1.0.0"
	operationPath   = "/notifications/v1/deliveries"
)

var (
	// disclaims is what the suite may test and this edition does not offer.
	disclaims = []string{"webhook"}

	uuidForm    = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	topicForm   = regexp.MustCompile(`^[a-z-]{1,40}\.[a-z0-9-]{1,40}$`)
	addressForm = regexp.MustCompile(
		"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\\.[A-Za-z0-9-]{1,63})+$")

	store *Store
)

// prepare opens the store; the program does not start without it.
func prepare() (err error) {
	store, err = openStore(filepath.Join(setting("DATA", "data"), "delivered.jsonl"))
	return err
}

// answerBatch delivers one message after the other, so that a repeat never overtakes its first, in
// the order of their ids.
func answerBatch(batch Batch) []Result {
	store.Lock()
	defer store.Unlock()
	byID := make([]int, len(batch.Items))
	ids := make([]string, len(batch.Items))
	for i, item := range batch.Items {
		var found map[string]json.RawMessage
		_ = json.Unmarshal(item, &found) // what is no object is refused below
		byID[i], ids[i] = i, strings.ToLower(string(found["id"]))
	}
	sort.SliceStable(byID, func(a, b int) bool { return ids[byID[a]] < ids[byID[b]] })
	results := make([]Result, len(batch.Items))
	for _, i := range byID {
		results[i] = result(deliver(batch.Tenant, batch.Items[i], batch.Deadline))
	}
	return results
}

func deliver(tenant int64, item json.RawMessage, deadline time.Time) (any, error) {
	asked, err := read(item)
	if err != nil {
		return nil, err
	}
	id, to := asked["id"], asked["to"]
	hash := hashOf(asked)
	if before, there := store.known[mark{tenant, id}]; there {
		if before.Hash != hash {
			return nil, problem("message-differs", 409, "Another message carries this id", "it differs",
				"Use a new UUIDv7 for a new message; one that was delivered never changes.")
		}
		return before.Delivered, nil
	}
	if asked["channel"] != "email" {
		return nil, problem("channel-disclaimed", 422,
			"This edition does not deliver over this channel", "this edition delivers mail alone",
			"Nothing: the platform delivers the message itself.")
	}
	if !addressForm.MatchString(to) {
		return nil, undeliverable("this is no address for mail")
	}
	if time.Now().After(deadline) {
		return nil, unavailable("there is no time left")
	}
	from := setting("MAIL_FROM", "noreply@bank.example")
	reference := fmt.Sprintf("<%s.%d@%s>", id, tenant, from[strings.Index(from, "@")+1:])
	mail := Mail{from, to, reference, asked["subject"], asked["text"]}
	folder := filepath.Join(setting("DATA", "data"), "outbox")
	if err := send(setting("SMTP_URL", ""), folder, mail, deadline); err != nil {
		return nil, err
	}
	done := Delivered{id, time.Now().UTC().Format(time.RFC3339Nano), reference}
	return done, store.add(line{done, tenant, hash})
}

var members = []struct {
	name        string
	least, most int
}{
	{"id", 36, 36}, {"channel", 1, 80}, {"to", 3, 320}, {"topic", 3, 81}, {"order", 1, 80},
	{"subject", 3, 200}, {"text", 3, 2_000},
}

// read takes the members of a message, each checked.
func read(item json.RawMessage) (map[string]string, error) {
	given, err := object(item, "id channel to topic order subject text", "")
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, m := range members {
		if found[m.name], err = text(given[m.name], m.name, m.least, m.most); err != nil {
			return nil, err
		}
	}
	if _, err = oneOf(given["channel"], "channel", "email webhook"); err != nil {
		return nil, err
	}
	if found["id"] = strings.ToLower(found["id"]); !uuidForm.MatchString(found["id"]) {
		return nil, invalid("id must be a UUID")
	}
	if !topicForm.MatchString(found["topic"]) {
		return nil, invalid("topic must be such as payment.booked")
	}
	return found, nil
}

func hashOf(message map[string]string) string {
	text, _ := json.Marshal(message) // a map of strings, written in the order of its names
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
