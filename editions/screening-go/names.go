package main

import (
	"sort"
	"strings"
	"unicode"
)

// legalForms say nothing about which company it is.
var legalForms = wordSet(
	"ab ag as asa bv co corp gmbh inc kg limited llc llp ltd nv oy plc sa sarl spa")

func wordSet(text string) map[string]bool {
	found := map[string]bool{}
	for _, word := range strings.Fields(text) {
		found[word] = true
	}
	return found
}

// words are those of a name in alphabetical order, without accents, case and punctuation; of an
// organisation also without its legal form, unless there is nothing else.
func words(name, kind string) []string {
	var plain strings.Builder
	for _, r := range strings.ToLower(name) {
		switch letters, known := folded[r]; {
		case known:
			plain.WriteString(letters)
		case unicode.Is(unicode.M, r) || r == '\'' || r == '’' || r == '.': // O'Brien, B.V.
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			plain.WriteRune(r)
		default:
			plain.WriteRune(' ')
		}
	}
	all := strings.Fields(plain.String())
	sort.Strings(all)
	if kind != organisation {
		return all
	}
	var kept []string
	for _, word := range all {
		if !legalForms[word] {
			kept = append(kept, word)
		}
	}
	if kept == nil {
		return all
	}
	return kept
}

// likeness of two names, 0 to 100: the letters of words that are alike, as a share of all letters
// of both. exact says whether every word has its equal. Whole numbers only, so that every machine
// gives the same score.
func likeness(asked, listed []string) (score int, exact bool) {
	total, alike := letters(asked)+letters(listed), 0
	if len(asked) == 0 || len(listed) == 0 {
		return 0, false
	}
	exact = len(asked) == len(listed)
	taken := make([]bool, len(asked))
	for _, word := range listed {
		best, at := 0, -1
		for i, other := range asked {
			if taken[i] {
				continue
			}
			if found := matching(word, other); found > best {
				best, at = found, i
			}
		}
		if at < 0 {
			exact = false
			continue
		}
		taken[at] = true
		exact = exact && asked[at] == word
		alike += best
	}
	score = 100 * alike / total
	return score, exact
}

// matching is how many letters of two words count as alike: all of both for equal ones, less for
// each letter to change, none where more than one in four would have to change.
func matching(a, b string) int {
	if a == b {
		return 2 * len([]rune(a))
	}
	x, y := []rune(a), []rune(b)
	longer := len(x)
	if len(y) > longer {
		longer = len(y)
	}
	most := longer / 4
	if most == 0 || len(x)-len(y) > most || len(y)-len(x) > most {
		return 0
	}
	changes := distance(x, y)
	if changes > most {
		return 0
	}
	return len(x) + len(y) - 2*changes
}

// distance is the number of letters to add, drop, change or swap with the next one.
func distance(a, b []rune) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = least(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = least(row[j], before[j-2]+1, row[j])
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

func least(a, b, c int) int {
	if b < a {
		a = b
	}
	if c < a {
		a = c
	}
	return a
}

func letters(words []string) int {
	total := 0
	for _, word := range words {
		total += len([]rune(word))
	}
	return total
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
