package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"
)

const nobody = `{"kind":"person","name":"Ada Lovelace","country":"GB","birth_date":null}`

func checked(t testing.TB, payer, payee string) Checked {
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

func side(kind, name string) string { return fmt.Sprintf(`{"kind":%q,"name":%q}`, kind, name) }

func TestWhoIsOnNoListIsClear(t *testing.T) {
	for _, name := range []string{
		"Ada Lovelace", "Zebulon Flummerfelt", "Varnhagen", "Quillfeather",
		"Zebulon Varnhagen Petersen", "Largo Winch", "!!!", "Анна Ахматова", "王小明",
	} {
		if found := checked(t, side(person, name), nobody); found.Verdict != "clear" {
			t.Error(name, found.Hits)
		}
	}
	for _, name := range []string{
		"Blaufink Shipping", "Obsidian Umbrella Repair", "Ltd", "Gravel Holding",
	} {
		if found := checked(t, nobody, side(organisation, name)); found.Verdict != "clear" {
			t.Error(name, found.Hits)
		}
	}
}

func TestWhoIsOnTheListIsFoundHoweverTheNameIsWritten(t *testing.T) {
	for name, entry := range map[string]string{
		"Zebulon Quillfeather Varnhagen":       "S-1",
		"VARNHAGEN, Zébulon Quillfeather":      "S-1",
		"Zebulon Quilfeather Varnhagen":        "S-1", // a letter less
		"Zebulon Quilllfeather Varnhagen":      "S-1", // one more
		"Zebulon Qiullfeather Varnhagen":       "S-1", // two swapped
		"Zebulon James Quillfeather Varnhagen": "S-1", // a name more
		"Oystein Brondbjaerg Vassholm":         "C-102",
		"Oystein B Vassholm":                   "C-102",
		"Perpetua Largo Quince":                "C-103",
	} {
		found := checked(t, nobody, side(person, name))
		if len(found.Hits) != 1 || found.Hits[0].Entry != entry || found.Hits[0].Side != "payee" {
			t.Error(name, found.Hits)
		}
	}
	for _, name := range []string{
		"Umbrafjord Obsidian Shipping", "umbrafjord obsidian shipping ltd.",
		"Obsidian Shipping Umbrafjörd B.V.", "Umbrafjord Obsidan Shipping",
	} {
		found := checked(t, side(organisation, name), nobody)
		if len(found.Hits) != 1 || found.Hits[0].Entry != "S-2" || found.Hits[0].Side != "payer" {
			t.Error(name, found.Hits)
		}
	}
}

func TestAnotherKindAndAnotherYearOfBirthClear(t *testing.T) {
	for more, verdict := range map[string]string{
		`"person","birth_date":"1951-07-23"`: "hit",
		`"person","birth_date":"1951-01-01"`: "hit",
		`"person","birth_date":"1990-07-23"`: "clear",
		`"organisation"`:                     "clear",
	} {
		given := `{"name":"Zebulon Quillfeather Varnhagen","kind":` + more + `}`
		if found := checked(t, given, nobody); found.Verdict != verdict {
			t.Error(more, found.Verdict)
		}
	}
}

func TestAHitSaysWhy(t *testing.T) {
	listed := `{"kind":"person","name":"Zebulon Quillfeather Varnhagen","birth_date":"1951-07-23"}`
	found := checked(t, listed, nobody).Hits[0]
	why := "the name has the same words; the date of birth is the same"
	if found.Score != 100 || found.Why != why {
		t.Error(found)
	}
	found = checked(t, side(person, "Zebulon Quilfeather Varnhagen"), nobody).Hits[0]
	if found.Score >= 100 || !strings.HasSuffix(found.Why, "no date of birth was given") {
		t.Error(found)
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
		given := strings.Replace(nobody, old, wrong, 1)
		if found := checked(t, given, nobody); found.Verdict != "refused" {
			t.Error(given, found.Verdict)
		}
	}
}

// FuzzCheck holds whatever is sent to what the contract says of an answer. Its seeds stand in
// testdata/fuzz/FuzzCheck and run with every `go test`.
func FuzzCheck(f *testing.F) {
	if err := prepare(); err != nil {
		f.Fatal(err)
	}
	f.Add(`{"payer":` + nobody + `,"payee":` + nobody + `,"at":"2026-03-02T12:00:00Z"}`)
	f.Fuzz(func(t *testing.T, item string) {
		answer, err := check(json.RawMessage(item))
		if err != nil {
			if _, known := err.(*Problem); !known {
				t.Fatalf("%q: %v", item, err)
			}
			return
		}
		found := answer.(Checked)
		if (found.Verdict == "hit") != (len(found.Hits) > 0) || len(found.Hits) > mostHits {
			t.Fatalf("%q: %s with %d hits", item, found.Verdict, len(found.Hits))
		}
		for _, hit := range found.Hits {
			if hit.Score < threshold || hit.Score > 100 {
				t.Fatalf("%q: score %d", item, hit.Score)
			}
			for _, text := range []string{hit.List, hit.Entry, hit.Name, hit.Why, found.Basis} {
				if text == "" || strings.IndexFunc(text, unprintable) >= 0 {
					t.Fatalf("%q: %q", item, text)
				}
			}
		}
		again, _ := check(json.RawMessage(item))
		if fmt.Sprint(again) != fmt.Sprint(answer) {
			t.Fatalf("%q: another answer", item)
		}
	})
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// FuzzLikeness: everybody is like himself, likeness has its bounds, and a distance no direction.
func FuzzLikeness(f *testing.F) {
	f.Add("Zebulon Quillfeather Varnhagen", "Zebulon Quilfeather Varnhagen")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := words(a, person), words(b, person)
		if score, exact := likeness(x, x); len(x) > 0 && (score != 100 || !exact) {
			t.Fatalf("%q is %d %% like itself", a, score)
		}
		if score, exact := likeness(x, y); score < 0 || score > 100 || (exact && score != 100) {
			t.Fatalf("%q and %q: %d %v", a, b, score, exact)
		}
		if distance([]rune(a), []rune(b)) != distance([]rune(b), []rune(a)) {
			t.Fatalf("%q and %q: the distance depends on the direction", a, b)
		}
	})
}
