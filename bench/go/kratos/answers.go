package main

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
)

//go:embed answers
var files embed.FS

// What Kratos says, with places to fill in braces.
var (
	opened   = load("open")
	sent     = load("sent")
	wrong    = load("wrong")
	proved   = load("proved")
	refused  = load("refused")
	identity = load("identity")
	courier  = load("courier")
)

// load reads an answer and takes out what only readers of the file need.
func load(name string) string {
	text, err := files.ReadFile("answers/" + name + ".json")
	if err != nil {
		panic(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		panic(err)
	}
	return compact.String()
}

// fill replaces places, each followed by its value. Values need no escaping: they are
// addresses made up here, ids and finished JSON.
func fill(text string, values []string) []byte {
	return []byte(strings.NewReplacer(values...).Replace(text))
}

// newID makes a UUID of version 4.
func newID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
