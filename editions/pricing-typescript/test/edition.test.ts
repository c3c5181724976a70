import assert from "node:assert/strict";
import { test } from "node:test";
import { isWeekend, quote } from "../src/edition.js";
import { DECIMALS, decimal } from "../src/money.js";
import { readTariff, TARIFF } from "../src/tariff.js";

const MONDAY = "2026-03-02T12:00:00Z";
const SATURDAY = "2026-03-07T12:00:00Z";

const ask = (amount: string, currency = "EUR", at = MONDAY, product = "current") =>
  quote({ operation: "book_transfer", product, amount: { amount, currency }, at });
const fee = (...given: Parameters<typeof ask>) => ask(...given).fee.amount;

test("the price list", () => {
  const cases: [string, string, string][] = [
    ["0.01", "EUR", "0.20"],
    ["100.00", "EUR", "0.20"],
    ["100.01", "EUR", "0.15"], // 0.10 + 0.05 %
    ["1000.00", "EUR", "0.60"],
    ["1010.00", "EUR", "0.61"], // 0.605, half up
    ["5000.00", "EUR", "2.60"],
    ["5000.01", "EUR", "4.00"],
    ["43750.00", "EUR", "35.00"],
    ["9999999999999.99", "EUR", "35.00"],
    ["1.00", "GBP", "0.20"],
    ["1000", "JPY", "16"], // 15.5, half up
  ];
  for (const [amount, currency, expected] of cases) {
    assert.equal(fee(amount, currency), expected, `${amount} ${currency}`);
  }
});

test("the sentence that whoever pays reads", () => {
  assert.equal(ask("50.00").rule, "0.20 EUR");
  assert.equal(ask("1000.00").rule, "0.10 EUR plus 0.05 % of the amount");
  assert.equal(ask("9000.00").rule, "0.08 % of the amount, at most 35.00 EUR");
  assert.equal(ask("1.00", "GBP").rule, "0.06 % of the amount, at least 0.20 GBP");
});

test("what is free", () => {
  assert.equal(fee("1000.00", "EUR", MONDAY, "savings"), "0.00");
  assert.equal(fee("1000.000", "KWD"), "0.000");
});

test("half of it on a weekend, as the bank's calendar says", () => {
  assert.equal(fee("1000.00", "EUR", SATURDAY), "0.30");
  assert.match(ask("1000.00", "EUR", SATURDAY).rule, /weekend/);
  const moments: [string, boolean][] = [
    ["2026-03-06T22:59:59.999Z", false], // winter: Amsterdam is an hour ahead
    ["2026-03-06T23:00:00Z", true],
    ["2026-03-08T22:59:59.999Z", true],
    ["2026-03-08T23:00:00Z", false],
    ["2026-07-03T21:59:59Z", false], // summer: two hours
    ["2026-07-04T00:00:00+02:00", true],
    ["2026-10-25T22:59:59Z", true], // the Sunday on which the clocks go back
    ["2026-10-25T23:00:00Z", false],
  ];
  for (const [at, weekend] of moments) assert.equal(isWeekend(new Date(at)), weekend, at);
});

test("a fee keeps the currency, lies between zero and the cap, and is always the same", () => {
  let seed = 12_345n;
  const currencies = [...DECIMALS.keys()];
  for (let n = 0; n < 5_000; n++) {
    seed = (seed * 6_364_136_223_846_793_005n + 1_442_695_040_888_963_407n) % 2n ** 64n;
    const currency = currencies[Number(seed % BigInt(currencies.length))]!;
    const minor = (seed >> 8n) % 10n ** ((seed >> 3n) % 16n);
    const amount = decimal({ minor, currency });
    const at = n % 2 ? MONDAY : SATURDAY;
    const found = ask(amount, currency, at);
    assert.deepEqual(ask(amount, currency, at), found);
    assert.equal(found.fee.currency, currency);
    const paid = BigInt(found.fee.amount.replace(".", ""));
    const hundred = 100n * 10n ** BigInt(DECIMALS.get(currency)!);
    assert.ok(paid >= 0n && paid <= (minor > hundred ? minor : hundred), `${amount} ${currency}`);
  }
});

test("what is not as the contract says is refused", () => {
  for (const amount of ["1e3", "0.1.", " 1 ", "+1", "-0", "1.005", "١٢", "01", "", "1_000"]) {
    assert.throws(() => fee(amount), { code: "invalid-request" }, amount);
  }
  assert.throws(() => fee("1.5", "JPY"), { code: "invalid-request" });
  assert.throws(() => fee("1", "XXX"), { code: "invalid-request" });
  assert.throws(() => fee("1", "EUR", "2026-02-30T00:00:00Z"), { code: "invalid-request" });
  assert.throws(() => fee("1", "EUR", "2026-03-02T12:00:00"), { code: "invalid-request" });
  assert.throws(() => quote([]), { code: "invalid-request" });
});

test("a price list that contradicts itself is not taken", () => {
  const list = (tiers: object[], more = {}) => ({
    zone: TARIFF.zone,
    weekend: { days: [], discount_percent: "0" },
    free_products: [],
    currencies: { EUR: tiers },
    ...more,
  });
  readTariff(list([{ flat: "1.00" }]));
  assert.throws(() => readTariff(list([])));
  assert.throws(() => readTariff(list([{ up_to: "1.00" }])));
  assert.throws(() => readTariff(list([{ up_to: "2.00" }, { up_to: "1.00" }, {}])));
  assert.throws(() => readTariff(list([{ flat: "-1.00" }])));
  assert.throws(() => readTariff(list([{ percent: "101" }])));
  assert.throws(() => readTariff(list([{ minimum: "2.00", maximum: "1.00" }])));
  assert.throws(() => readTariff(list([{ flat: 1 }])));
  assert.throws(() => readTariff(list([{ flat: "1.00" }], { zone: "Europe/Nowhere" })));
});
