package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

const asked = `{"operation":"book_transfer","product":"current",` +
	`"amount":{"amount":"%s","currency":"%s"},"at":"2026-03-02T12:00:00Z"}`

func fee(t *testing.T, amount, currency string) string {
	t.Helper()
	answer, err := quote(json.RawMessage(fmt.Sprintf(asked, amount, currency)))
	if err != nil {
		return "refused"
	}
	text, err := json.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), `"`)[5]
}

func TestTenthOfAPercentHalfUpAtMostTenUnits(t *testing.T) {
	for _, c := range [][3]string{
		{"1000.00", "EUR", "1.00"},
		{"4.99", "EUR", "0.00"},
		{"5.00", "EUR", "0.01"}, // half a cent
		{"999999.99", "EUR", "10.00"},
		{"1000", "JPY", "1"},
		{"1.000", "KWD", "0.001"},
		{"9999999999999.99", "EUR", "10.00"},
		{"-5.00", "EUR", "0.00"},
	} {
		if found := fee(t, c[0], c[1]); found != c[2] {
			t.Errorf("%s %s: %s, not %s", c[0], c[1], found, c[2])
		}
	}
	if found := percentOf(mostMinor, 100*10_000); found != mostMinor {
		t.Errorf("100 percent of the largest amount is %d", found)
	}
}

func TestWhatIsNotAsTheContractSaysIsRefused(t *testing.T) {
	for _, amount := range []string{"1e3", "0.1.", " 1 ", "+1", "-0", "1.005", "١٢", "01", ""} {
		if found := fee(t, amount, "EUR"); found != "refused" {
			t.Errorf("%q: %s", amount, found)
		}
	}
	whole := fmt.Sprintf(asked, "1.00", "EUR")
	for old, wrong := range map[string]string{
		"EUR":             "XXX",
		"-03-02":          "-02-30",
		"00Z":             "00",
		`"book_transfer"`: "1",
		"product":         "Product",
		`"at"`:            `"more":1,"at"`,
	} {
		changed := strings.Replace(whole, old, wrong, 1)
		if _, err := quote(json.RawMessage(changed)); err == nil {
			t.Errorf("%s is taken", changed)
		}
	}
}
