package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

const (
	person       = "person"
	organisation = "organisation"

	// threshold is the likeness from which somebody should look: a misspelt letter or two, or a
	// name more or less, but not a single word in common.
	threshold = 86
)

// An Entry is who is on the list, by every name known.
type Entry struct {
	ID        string   `json:"id"`
	Kind      string   `json:"kind"`
	Names     []string `json:"names"`
	BirthDate string   `json:"birth_date"`
	words     [][]string
}

// A List is read once. It is data and no part of the digest; its basis says which one it was.
type List struct {
	Name    string  `json:"list"`
	AsOf    string  `json:"as_of"`
	Entries []Entry `json:"entries"`
}

// A Match is an entry that may be meant.
type Match struct {
	Entry Entry
	Name  string
	Score int
	Why   string
}

func readList(path string) (*List, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found := &List{}
	if err := json.Unmarshal(raw, found); err != nil {
		return nil, err
	}
	if _, err := time.Parse("2006-01-02", found.AsOf); err != nil || found.Name == "" {
		return nil, errors.New("the list needs a name and a date")
	}
	for i := range found.Entries {
		if err := found.Entries[i].prepare(); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// prepare checks an entry, and splits its names once.
func (e *Entry) prepare() error {
	if e.ID == "" || len(e.Names) == 0 || (e.Kind != person && e.Kind != organisation) {
		return fmt.Errorf("entry %q needs an id, a kind and a name", e.ID)
	}
	if _, err := time.Parse("2006-01-02", e.BirthDate); e.BirthDate != "" && err != nil {
		return fmt.Errorf("entry %q: birth_date is no date", e.ID)
	}
	for _, name := range e.Names {
		split := words(name, e.Kind)
		if len(split) == 0 {
			return fmt.Errorf("entry %q has a name without letters", e.ID)
		}
		e.words = append(e.words, split)
	}
	return nil
}

func (l *List) basis() string {
	return fmt.Sprintf("%s of %s, %d entries", l.Name, l.AsOf, len(l.Entries))
}

// lookUp finds the entries of this kind whose name is like the one asked for, in the order of the
// list, each by its best name. A known year of birth that differs clears.
func (l *List) lookUp(kind, name, birthDate string) []Match {
	asked := words(name, kind)
	var found []Match
	for _, entry := range l.Entries {
		if entry.Kind != kind || otherYear(entry.BirthDate, birthDate) {
			continue
		}
		best, exact, at := 0, false, 0
		for i, listed := range entry.words {
			if score, same := likeness(asked, listed); score > best {
				best, exact, at = score, same, i
			}
		}
		if best >= threshold {
			why := why(best, exact, entry.BirthDate, birthDate)
			found = append(found, Match{entry, entry.Names[at], best, why})
		}
	}
	return found
}

func otherYear(a, b string) bool { return a != "" && b != "" && a[:4] != b[:4] }

// why is a sentence for whoever looks into the hit. It never quotes the name asked for.
func why(score int, exact bool, listed, asked string) string {
	text := fmt.Sprintf("%d %% of the letters of both names are in words that are alike", score)
	if exact {
		text = "the name has the same words"
	}
	switch {
	case listed == "":
		return text + "; the list has no date of birth"
	case asked == "":
		return text + "; no date of birth was given"
	case listed == asked:
		return text + "; the date of birth is the same"
	}
	return text + "; the year of birth is the same"
}
