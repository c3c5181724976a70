/** What a transfer costs at Company X: fees by amount, and half of them on a weekend. */

import { DECIMALS, decimal, type Money, percentOf, readMoney } from "./money.js";
import { attempt, type Result } from "./problem.js";
import { moment, object, oneOf } from "./reading.js";
import type { Batch } from "./server.js";
import { TARIFF, type Tier } from "./tariff.js";

export const PATH = "/pricing/v1/quotes";

/** What the suite may test and this edition does not offer. */
export const DISCLAIMS: string[] = [];

export interface Quote {
  fee: { amount: string; currency: string };
  /** The sentence that whoever pays reads. */
  rule: string;
}

const WEEKDAY = new Intl.DateTimeFormat("en", { timeZone: TARIFF.zone, weekday: "long" });

export function answerBatch({ items }: Batch): Promise<Result[]> {
  return Promise.all(items.map((item) => attempt(() => quote(item))));
}

/** Pure: the same question always gets the same answer, and nothing else happens. */
export function quote(item: unknown): Quote {
  const asked = object(item, ["operation", "product", "amount", "at"]);
  oneOf(asked["operation"], "operation", ["book_transfer"]);
  const product = oneOf(asked["product"], "product", ["current", "savings"]);
  const at = moment(asked["at"], "at");
  const amount = readMoney(asked["amount"]);
  const tiers = TARIFF.currencies.get(amount.currency);
  if (TARIFF.freeProducts.includes(product)) return free(amount, `on ${product} accounts`);
  if (tiers === undefined) return free(amount, `in ${amount.currency}`);

  const tier = tiers.find(({ upTo }) => upTo === undefined || amount.minor <= upTo)!;
  const full = capped(price(tier, amount.minor), amount);
  if (!isWeekend(at)) return answer(full, amount.currency, describe(tier, amount.currency));
  const discounted = full - percentOf(full, TARIFF.weekend.discountE4);
  const rule = `${describe(tier, amount.currency)}; weekend discount`;
  return answer(discounted, amount.currency, rule);
}

/** By the calendar of the bank's zone: a Friday night in UTC may be a Saturday there. */
export function isWeekend(at: Date): boolean {
  return TARIFF.weekend.days.includes(WEEKDAY.format(at));
}

function price(tier: Tier, minor: bigint): bigint {
  let fee = tier.flat + (minor > 0n ? percentOf(minor, tier.percentE4) : 0n);
  if (fee < tier.minimum) fee = tier.minimum;
  return tier.maximum !== undefined && fee > tier.maximum ? tier.maximum : fee;
}

/** The contract's cap: the amount itself, or 100 units of its currency if more. */
function capped(fee: bigint, { minor, currency }: Money): bigint {
  const hundred = 100n * 10n ** BigInt(DECIMALS.get(currency)!);
  const cap = minor > hundred ? minor : hundred;
  return fee < cap ? fee : cap;
}

function describe(tier: Tier, currency: string): string {
  const money = (minor: bigint) => `${decimal({ minor, currency })} ${currency}`;
  const digits = tier.percentE4.toString().padStart(5, "0");
  const percent = `${digits.slice(0, -4)}.${digits.slice(-4)}`.replace(/\.?0+$/, "");
  const parts = [
    ...(tier.flat > 0n ? [money(tier.flat)] : []),
    ...(tier.percentE4 > 0n ? [`${percent} % of the amount`] : []),
  ];
  const least = tier.minimum > 0n ? `, at least ${money(tier.minimum)}` : "";
  const most = tier.maximum !== undefined ? `, at most ${money(tier.maximum)}` : "";
  return parts.join(" plus ") + least + most;
}

function free({ currency }: Money, why: string): Quote {
  return answer(0n, currency, `Company X charges nothing for transfers ${why}`);
}

function answer(minor: bigint, currency: string, rule: string): Quote {
  return { fee: { amount: decimal({ minor, currency }), currency }, rule };
}
