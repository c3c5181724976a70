import assert from "node:assert/strict";
import { test } from "node:test";
import { quote } from "../src/edition.js";

const asked = {
  operation: "book_transfer",
  product: "current",
  amount: { amount: "1000.00", currency: "EUR" },
  at: "2026-03-02T12:00:00Z",
};

const fee = (amount: string, currency = "EUR") =>
  quote({ ...asked, amount: { amount, currency } }).fee.amount;

test("0.1 percent, half up, at most 10 units", () => {
  assert.equal(fee("1000.00"), "1.00");
  assert.equal(fee("4.99"), "0.00");
  assert.equal(fee("5.00"), "0.01"); // half a cent
  assert.equal(fee("999999.99"), "10.00");
  assert.equal(fee("1000", "JPY"), "1");
  assert.equal(fee("1.000", "KWD"), "0.001");
});

test("what is not as the contract says is refused", () => {
  for (const amount of ["1e3", "0.1.", " 1 ", "+1", "-0", "1.005", "١٢", "01", ""]) {
    assert.throws(() => fee(amount), { code: "invalid-request" }, amount);
  }
  assert.throws(() => fee("1.5", "JPY"), { code: "invalid-request" });
  assert.throws(() => fee("1", "XXX"), { code: "invalid-request" });
  assert.throws(() => quote({ ...asked, amount: 12.5 }), { code: "invalid-request" });
  assert.throws(() => quote({ ...asked, at: "2026-02-30T00:00:00Z" }), { code: "invalid-request" });
  assert.throws(() => quote({ ...asked, at: "2026-02-03T00:00:00" }), { code: "invalid-request" });
  assert.throws(() => quote({ ...asked, more: 1 }), { code: "invalid-request" });
  assert.throws(() => quote([]), { code: "invalid-request" });
});
