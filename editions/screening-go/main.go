// Command company-x-screening is edition B of the contract screening.
package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const stopTime = 10 * time.Second

func main() {
	if err := run(); err != nil {
		log("failed", fields{"error": err.Error()})
		os.Exit(1)
	}
}

// run serves until a signal comes; what is being answered then is answered.
func run() error {
	host, port := setting("HOST", "127.0.0.1"), setting("PORT", "8401")
	source := os.Getenv("GUILDER_EDITION_KEYS")
	if ip := net.ParseIP(host); source == "" && (ip == nil || !ip.IsLoopback()) {
		return errors.New("set GUILDER_EDITION_KEYS: without keys only loopback is served")
	}
	var known *keys
	if source != "" {
		var err error
		if known, err = loadKeys(source); err != nil {
			return err
		}
	}
	if err := prepare(); err != nil {
		return err
	}
	about, err := readManifest()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           &edition{about: about, keys: known},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		IdleTimeout:       75 * time.Second, // longer than the platform keeps an idle connection
	}
	log("listening", fields{
		"url": "http://" + listener.Addr().String(), "digest": about.Digest, "signed": known != nil,
	})
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	select {
	case err := <-ended:
		return err
	case <-stop.Done():
	}
	log("stopping", nil)
	last, done := context.WithTimeout(context.Background(), stopTime)
	defer done()
	return server.Shutdown(last)
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
