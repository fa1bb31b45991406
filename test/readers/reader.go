// Reads each document of a file by the CloudEvents SDK; a line for each: ok, or why not.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
)

func read(document []byte) error {
	var e event.Event
	var expected struct {
		ID, Source string
		AuditID    string `json:"auditid"`
		Data       any
	}
	var data any

	if err := json.Unmarshal(document, &e); err != nil {
		return err
	}
	if err := e.Validate(); err != nil {
		return err
	}
	if err := json.Unmarshal(document, &expected); err != nil {
		return err
	}
	if e.ID() != expected.ID || e.Source() != expected.Source {
		return fmt.Errorf("other source or id")
	}
	if expected.AuditID != "" && e.Extensions()["auditid"] != expected.AuditID {
		return fmt.Errorf("other auditid")
	}
	if err := e.DataAs(&data); err != nil && expected.Data != nil {
		return err
	}
	if fmt.Sprint(data) != fmt.Sprint(expected.Data) {
		return fmt.Errorf("other data")
	}
	return nil
}

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	for _, line := range bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		if err := read(line); err != nil {
			fmt.Println(strings.Join(strings.Fields(err.Error()), " "))
		} else {
			fmt.Println("ok")
		}
	}
}
