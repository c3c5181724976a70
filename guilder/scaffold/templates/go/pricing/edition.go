package main

import (
	"encoding/json"
	"fmt"
)

// What a transfer costs. This is the file to change: a fee of 0.1 percent, 10 units at most.

const (
	contract        = "pricing"
	contractVersion = "__CONTRACT_VERSION__"
	editionLetter   = "__EDITION__"
	version         = "1.0.0"
	operationPath   = "/pricing/v1/quotes"

	percentE4 = 1_000 // 0.1 percent, in ten-thousandths of a percent
	mostUnits = 10
)

// disclaims is what the suite may test and this edition does not offer.
var disclaims = []string{}

// Quote is a fee, and the sentence that whoever pays it reads.
type Quote struct {
	Fee  Money  `json:"fee"`
	Rule string `json:"rule"`
}

// prepare has nothing to do: everything is a constant.
func prepare() error { return nil }

func answerBatch(batch Batch) []Result {
	results := make([]Result, len(batch.Items))
	for i, item := range batch.Items {
		results[i] = result(quote(item))
	}
	return results
}

// quote is pure: the same question always gets the same answer, and nothing else happens.
func quote(item json.RawMessage) (any, error) {
	asked, err := object(item, "operation product amount at", "")
	if err != nil {
		return nil, err
	}
	if _, err = oneOf(asked["operation"], "operation", "book_transfer"); err != nil {
		return nil, err
	}
	if _, err = oneOf(asked["product"], "product", "current savings"); err != nil {
		return nil, err
	}
	if _, err = moment(asked["at"], "at"); err != nil {
		return nil, err
	}
	amount, err := readMoney(asked["amount"])
	if err != nil {
		return nil, err
	}
	fee := Money{0, amount.Currency}
	if amount.Minor > 0 {
		fee.Minor = percentOf(amount.Minor, percentE4)
	}
	if most := units(mostUnits, amount.Currency); fee.Minor > most {
		fee.Minor = most
	}
	rule := fmt.Sprintf("0.1 %% of the amount, at most %d %s", mostUnits, amount.Currency)
	return Quote{fee, rule}, nil
}
