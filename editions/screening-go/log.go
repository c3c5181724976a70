package main

import (
	"encoding/json"
	"os"
	"sync"
	"time"
)

type fields map[string]any

var logging sync.Mutex

// log writes one JSON object a line to standard output. Never put a name, an address or an amount
// into it.
func log(event string, more fields) {
	line := fields{"at": time.Now().UTC().Format(time.RFC3339Nano), "event": event}
	for name, value := range more {
		line[name] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		return
	}
	logging.Lock()
	defer logging.Unlock()
	_, _ = os.Stdout.Write(append(text, '\n'))
}
