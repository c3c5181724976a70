package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const nobody = `{"kind":"person","name":"Ada Lovelace","country":"GB","birth_date":null}`

func checked(t *testing.T, payer, payee string) Checked {
	t.Helper()
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	item := fmt.Sprintf(`{"payer":%s,"payee":%s,"at":"2026-03-02T12:00:00Z"}`, payer, payee)
	answer, err := check(json.RawMessage(item))
	if err != nil {
		return Checked{Verdict: "refused"}
	}
	return answer.(Checked)
}

func TestWhoIsOnNoListIsClear(t *testing.T) {
	if found := checked(t, nobody, nobody); found.Verdict != "clear" || len(found.Hits) != 0 {
		t.Error(found)
	}
}

func TestWhoIsOnTheListIsAHitOnEitherSideInAnyOrderOfWordsWithAnyAccents(t *testing.T) {
	for _, name := range []string{
		"Zebulon Quillfeather Varnhagen", "VARNHAGEN, Zébulon Quillfeather",
	} {
		listed := fmt.Sprintf(`{"kind":"person","name":%q}`, name)
		payer, payee := checked(t, listed, nobody), checked(t, nobody, listed)
		if len(payer.Hits) != 1 || payer.Hits[0].Side != "payer" || payer.Hits[0].Entry != "S-1" {
			t.Error(name, payer)
		}
		if len(payee.Hits) != 1 || payee.Hits[0].Side != "payee" || payee.Verdict != "hit" {
			t.Error(name, payee)
		}
	}
}

func TestAnotherKindAndAnotherYearOfBirthClear(t *testing.T) {
	for more, verdict := range map[string]string{
		`"person","birth_date":"1951-07-23"`: "hit",
		`"person","birth_date":"1990-07-23"`: "clear",
		`"organisation"`:                     "clear",
	} {
		side := `{"name":"Zebulon Quillfeather Varnhagen","kind":` + more + `}`
		if found := checked(t, side, nobody); found.Verdict != verdict {
			t.Error(more, found.Verdict)
		}
	}
}

func TestWhatIsNotAsTheContractSaysIsRefused(t *testing.T) {
	for old, wrong := range map[string]string{
		`"person"`:         `"robot"`,
		`"Ada Lovelace"`:   `""`,
		`"GB"`:             `"gb"`,
		`null`:             `"1951-02-30"`,
		`"name"`:           `"Name"`,
		`{"kind":"person"`: `{"more":1,"kind":"person"`,
	} {
		side := strings.Replace(nobody, old, wrong, 1)
		if found := checked(t, side, nobody); found.Verdict != "refused" {
			t.Error(side, found.Verdict)
		}
	}
}
