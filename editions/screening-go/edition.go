package main

import (
	"encoding/json"
	"regexp"
	"sync"
	"time"
)

// Whether the list may mean the payer or the payee.

const (
	contract        = "screening"
	contractVersion = "1.0.0"
	editionLetter   = "B"
	version         = "1.0.0"
	operationPath   = "/screening/v1/checks"

	mostHits = 50
)

// disclaims is what the suite may test and this edition does not offer.
var disclaims = []string{}

// A Hit is an entry that may be meant, and why it was found.
type Hit struct {
	Side  string `json:"side"`
	List  string `json:"list"`
	Entry string `json:"entry"`
	Name  string `json:"name"`
	Score int    `json:"score"`
	Why   string `json:"why"`
}

// Checked is the verdict on a payment's two sides.
type Checked struct {
	Verdict string `json:"verdict"`
	Hits    []Hit  `json:"hits"`
	Basis   string `json:"basis"`
}

var (
	listOnce sync.Once
	list     *List
	listErr  error
)

// prepare reads the list; the program does not start without one.
func prepare() error {
	listOnce.Do(func() { list, listErr = readList(setting("LIST", "lists/own.json")) })
	return listErr
}

func answerBatch(batch Batch) []Result {
	results := make([]Result, len(batch.Items))
	for i, item := range batch.Items {
		results[i] = result(check(item))
	}
	return results
}

// check is pure: the same question always gets the same answer while the list is the same.
func check(item json.RawMessage) (any, error) {
	asked, err := object(item, "payer payee at", "")
	if err != nil {
		return nil, err
	}
	if _, err = moment(asked["at"], "at"); err != nil {
		return nil, err
	}
	checked := Checked{Verdict: "clear", Hits: []Hit{}, Basis: list.basis()}
	for _, side := range []string{"payer", "payee"} {
		hits, err := sideHits(side, asked[side])
		if err != nil {
			return nil, err
		}
		checked.Hits = append(checked.Hits, hits...)
	}
	if len(checked.Hits) > mostHits {
		checked.Hits = checked.Hits[:mostHits]
	}
	if len(checked.Hits) > 0 {
		checked.Verdict = "hit"
	}
	return checked, nil
}

var countryForm = regexp.MustCompile(`^[A-Z]{2}$`)

func sideHits(side string, raw json.RawMessage) ([]Hit, error) {
	given, err := object(raw, "kind name", "country birth_date")
	if err != nil {
		return nil, err
	}
	kind, err := oneOf(given["kind"], "kind", "person organisation")
	if err != nil {
		return nil, err
	}
	name, err := text(given["name"], "name", 1, 140)
	if err != nil {
		return nil, err
	}
	country, err := orNothing(given["country"], "country", 2)
	if err != nil || (country != "" && !countryForm.MatchString(country)) {
		return nil, invalid("country must be two capital letters")
	}
	birthDate, err := orNothing(given["birth_date"], "birth_date", 10)
	if err != nil {
		return nil, err
	}
	if _, err := time.Parse("2006-01-02", birthDate); birthDate != "" && err != nil {
		return nil, invalid("birth_date must be a date such as 1951-07-23")
	}
	var hits []Hit
	for _, found := range list.lookUp(kind, name, birthDate) {
		hits = append(hits, Hit{side, list.Name, found.Entry.ID, found.Name, found.Score, found.Why})
	}
	return hits, nil
}

// orNothing reads a string of this length, or "" where there is none.
func orNothing(raw json.RawMessage, name string, length int) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	return text(raw, name, length, length)
}
