package main

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// object reads an object with these members: all of needed, at most also optional. Names are
// compared exactly, which encoding/json does not do for a struct.
func object(raw json.RawMessage, needed, optional string) (map[string]json.RawMessage, error) {
	var found map[string]json.RawMessage
	if err := json.Unmarshal(raw, &found); err != nil || found == nil {
		return nil, invalid("an object is expected")
	}
	known := map[string]bool{}
	for _, name := range strings.Fields(needed) {
		known[name] = true
		if _, there := found[name]; !there {
			return nil, invalid("the member " + name + " is missing")
		}
	}
	for _, name := range strings.Fields(optional) {
		known[name] = true
	}
	for name := range found {
		if !known[name] {
			return nil, invalid("a member is not known")
		}
	}
	return found, nil
}

// text reads a string of so many characters.
func text(raw json.RawMessage, name string, least, most int) (string, error) {
	var value *string
	if err := json.Unmarshal(raw, &value); err != nil || value == nil {
		return "", invalid(name + " must be a string")
	}
	n := utf8.RuneCountInString(*value)
	if n < least || n > most || strings.ContainsRune(*value, 0) {
		return "", invalid(name + " has too few or too many characters")
	}
	return *value, nil
}

// oneOf reads one of these words.
func oneOf(raw json.RawMessage, name, words string) (string, error) {
	value, err := text(raw, name, 1, 80)
	if err != nil {
		return "", err
	}
	for _, word := range strings.Fields(words) {
		if word == value {
			return value, nil
		}
	}
	return "", invalid(name + " must be one of " + words)
}

// moment reads a moment with its zone (RFC 3339).
func moment(raw json.RawMessage, name string) (time.Time, error) {
	value, err := text(raw, name, 1, 40)
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, strings.ToUpper(value))
	if err != nil || at.Year() < 1 {
		return time.Time{}, invalid(name + " must be a moment such as 2026-03-01T12:00:00Z")
	}
	return at, nil
}
