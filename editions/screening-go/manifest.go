package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
)

// A Manifest is what this edition says of itself.
type Manifest struct {
	Contract        string   `json:"contract"`
	ContractVersion string   `json:"contract_version"`
	Edition         string   `json:"edition"`
	Version         string   `json:"version"`
	Digest          string   `json:"digest"`
	Disclaims       []string `json:"disclaims"`
}

func readManifest() (Manifest, error) {
	digest, err := ownDigest()
	return Manifest{contract, contractVersion, editionLetter, version, digest, disclaims}, err
}

// banner is the value of the header Guilder-Edition.
func (m Manifest) banner() string {
	return m.Contract + " " + m.Edition + "." + m.Version + " " + m.Digest
}

// ownDigest is the SHA-256 of the program that runs: another build, another digest.
func ownDigest() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(hash.Sum(nil)), nil
}
