package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"unicode"
)

// An Entry is who is on the list.
type Entry struct {
	ID        string `json:"id"`
	Kind      string `json:"kind"` // person or organisation
	Name      string `json:"name"`
	BirthDate string `json:"birth_date"`
}

// A List is read once. It is data and no part of the digest; its basis says which one it was.
type List struct {
	Name    string  `json:"list"`
	AsOf    string  `json:"as_of"`
	Entries []Entry `json:"entries"`
	byWords map[string][]Entry
}

func readList(path string) (*List, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found := &List{byWords: map[string][]Entry{}}
	if err := json.Unmarshal(raw, found); err != nil {
		return nil, err
	}
	for _, entry := range found.Entries {
		key := words(entry.Name)
		found.byWords[key] = append(found.byWords[key], entry)
	}
	return found, nil
}

func (l *List) basis() string {
	return fmt.Sprintf("%s of %s, %d entries", l.Name, l.AsOf, len(l.Entries))
}

// lookUp finds entries of this kind and name; a known year of birth that differs clears.
func (l *List) lookUp(kind, name, birthDate string) []Entry {
	var found []Entry
	for _, entry := range l.byWords[words(name)] {
		other := entry.BirthDate != "" && birthDate != "" && entry.BirthDate[:4] != birthDate[:4]
		if entry.Kind == kind && !other {
			found = append(found, entry)
		}
	}
	return found
}

// words are those of a name in alphabetical order, without accents, case and punctuation.
func words(name string) string {
	var plain strings.Builder
	for _, r := range strings.ToLower(name) {
		switch letters, known := folded[r]; {
		case known:
			plain.WriteString(letters)
		case unicode.Is(unicode.M, r): // an accent of its own
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			plain.WriteRune(r)
		default:
			plain.WriteRune(' ')
		}
	}
	found := strings.Fields(plain.String())
	sort.Strings(found)
	return strings.Join(found, " ")
}

// folded are Latin letters and the plain ones they are written with elsewhere. The standard library
// has no Unicode normalisation, so what is not here is compared as it is.
var folded = map[rune]string{}

func init() {
	for plain, letters := range map[string]string{
		"a": "àáâãäåāăąǎ", "ae": "æ", "c": "çćĉċč", "d": "ďđð", "e": "èéêëēĕėęě", "g": "ĝğġģ",
		"h": "ĥħ", "i": "ìíîïĩīĭįı", "j": "ĵ", "k": "ķ", "l": "ĺļľłŀ", "n": "ñńņň",
		"o": "òóôõöøōŏőǒ", "oe": "œ", "r": "ŕŗř", "s": "śŝşšș", "ss": "ß", "t": "ţťŧț", "th": "þ",
		"u": "ùúûüũūŭůűųǔ", "w": "ŵ", "y": "ýÿŷ", "z": "źżž",
	} {
		for _, letter := range letters {
			folded[letter] = plain
		}
	}
}
