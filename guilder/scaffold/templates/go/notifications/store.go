package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
)

// A Delivered is what was handed over, and since when. Reference is the carrier's own.
type Delivered struct {
	ID        string `json:"id"`
	At        string `json:"at"`
	Reference string `json:"reference"`
}

type line struct {
	Delivered
	Tenant int64  `json:"tenant"`
	Hash   string `json:"hash"` // tells a repeat from another message, and holds no text of it
}

type mark struct {
	tenant int64
	id     string
}

// A Store is what was delivered, so that nothing is delivered twice: a file that only grows.
// Whoever uses it holds its lock.
type Store struct {
	sync.Mutex
	file  *os.File
	known map[mark]line
}

func openStore(path string) (*Store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	found := &Store{file: file, known: map[mark]line{}}
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		var read line
		if json.Unmarshal(scanner.Bytes(), &read) == nil { // else a crash cut it off
			found.known[mark{read.Tenant, read.ID}] = read
		}
	}
	return found, scanner.Err()
}

// add is durable when it returns. It begins a new line, since a crash may have cut the last.
func (s *Store) add(added line) error {
	text, err := json.Marshal(added)
	if err != nil {
		return err
	}
	if _, err := s.file.Write(append([]byte("\n"), text...)); err != nil {
		return err
	}
	s.known[mark{added.Tenant, added.ID}] = added
	return s.file.Sync()
}
