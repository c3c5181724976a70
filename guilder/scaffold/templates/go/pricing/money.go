package main

import (
	"encoding/json"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

// Money is whole minor units, never a float. On the wire it is a decimal string and a currency.
type Money struct {
	Minor    int64
	Currency string
}

const (
	two = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD " +
		"CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP " +
		"GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD " +
		"LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB " +
		"PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC " +
		"SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG"
	none  = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
	three = "BHD IQD JOD KWD LYD OMR TND"

	mostMinor = 1_000_000_000_000_000
)

// decimals are those of each currency's minor unit.
var decimals = map[string]int{}

func init() {
	for n, codes := range map[int]string{0: none, 2: two, 3: three} {
		for _, code := range strings.Fields(codes) {
			decimals[code] = n
		}
	}
}

var amountForm = regexp.MustCompile(`^(-?)(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,3}))?$`)

// readMoney reads {"amount": "12.50", "currency": "EUR"}.
func readMoney(raw json.RawMessage) (Money, error) {
	members, err := object(raw, "amount currency", "")
	if err != nil {
		return Money{}, err
	}
	currency, err := text(members["currency"], "currency", 3, 3)
	if err != nil {
		return Money{}, err
	}
	n, known := decimals[currency]
	if !known {
		return Money{}, invalid("the currency is not known")
	}
	amount, err := text(members["amount"], "amount", 1, 24)
	if err != nil {
		return Money{}, err
	}
	match := amountForm.FindStringSubmatch(amount)
	if match == nil {
		return Money{}, invalid(`an amount is a decimal string such as "12.50"`)
	}
	if len(match[3]) > n {
		return Money{}, invalid("the currency has fewer decimals")
	}
	digits := match[2] + match[3] + strings.Repeat("0", n-len(match[3]))
	minor, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || minor > mostMinor || (match[1] != "" && minor == 0) {
		return Money{}, invalid("the amount is out of range")
	}
	if match[1] != "" {
		minor = -minor
	}
	return Money{minor, currency}, nil
}

// MarshalJSON writes the decimal string of the wire, with all decimals of the currency.
func (m Money) MarshalJSON() ([]byte, error) {
	minor, sign := m.Minor, ""
	if minor < 0 {
		minor, sign = -minor, "-"
	}
	n := decimals[m.Currency]
	digits := strconv.FormatInt(minor, 10)
	if short := n + 1 - len(digits); short > 0 {
		digits = strings.Repeat("0", short) + digits
	}
	amount := sign + digits[:len(digits)-n]
	if n > 0 {
		amount += "." + digits[len(digits)-n:]
	}
	return json.Marshal(map[string]string{"amount": amount, "currency": m.Currency})
}

// units is so many whole units of a currency, in minor units.
func units(count int64, currency string) int64 {
	for n := decimals[currency]; n > 0; n-- {
		count *= 10
	}
	return count
}

// percentOf is so many ten-thousandths of a percent of an amount, half up to the minor unit. The
// product does not fit into 64 bits.
func percentOf(minor, percentE4 int64) int64 {
	whole := big.NewInt(100 * 10_000)
	twice := new(big.Int).Mul(big.NewInt(2*minor), big.NewInt(percentE4))
	twice.Add(twice, whole)
	return twice.Div(twice, whole.Mul(whole, big.NewInt(2))).Int64()
}
