/** What a transfer costs. This is the file to change: a fee of 0.1 percent, 10 units at most. */

import { DECIMALS, decimal, percentOf, readMoney } from "./money.js";
import { attempt, type Result } from "./problem.js";
import { moment, object, oneOf } from "./reading.js";
import type { Batch } from "./server.js";

export const PATH = "/pricing/v1/quotes";

/** What the suite may test and this edition does not offer. */
export const DISCLAIMS: string[] = [];

const PERCENT_E4 = 1_000n; // 0.1 percent, in ten-thousandths of a percent
const MOST_UNITS = 10n;

export interface Quote {
  fee: { amount: string; currency: string };
  /** The sentence that whoever pays reads. */
  rule: string;
}

export function answerBatch({ items }: Batch): Promise<Result[]> {
  return Promise.all(items.map((item) => attempt(() => quote(item))));
}

/** Pure: the same question always gets the same answer, and nothing else happens. */
export function quote(item: unknown): Quote {
  const asked = object(item, ["operation", "product", "amount", "at"]);
  oneOf(asked["operation"], "operation", ["book_transfer"]);
  oneOf(asked["product"], "product", ["current", "savings"]);
  moment(asked["at"], "at");
  const { minor, currency } = readMoney(asked["amount"]);
  const most = MOST_UNITS * 10n ** BigInt(DECIMALS.get(currency)!);
  const fee = minor > 0n ? percentOf(minor, PERCENT_E4) : 0n;
  const capped = fee < most ? fee : most;
  return {
    fee: { amount: decimal({ minor: capped, currency }), currency },
    rule: `0.1 % of the amount, at most ${MOST_UNITS} ${currency}`,
  };
}
