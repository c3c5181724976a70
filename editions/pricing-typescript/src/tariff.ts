/** The price list of tariff.json. A list that contradicts itself stops us before we listen. */

import { readFileSync } from "node:fs";
import { readMoney } from "./money.js";
import { type Fields, object } from "./reading.js";

/** The price of amounts up to and including `upTo`, in minor units: flat plus percent, bounded. */
export interface Tier {
  upTo: bigint | undefined;
  flat: bigint;
  /** Ten-thousandths of a percent. */
  percentE4: bigint;
  minimum: bigint;
  maximum: bigint | undefined;
}

export interface Tariff {
  zone: string;
  weekend: { days: string[]; discountE4: bigint };
  freeProducts: string[];
  currencies: Map<string, Tier[]>;
}

const PERCENT = /^(0|[1-9][0-9]?|100)(?:\.([0-9]{1,4}))?$/;

export function readTariff(document: unknown): Tariff {
  const given = object(document, ["zone", "weekend", "free_products", "currencies"]);
  const weekend = object(given["weekend"], ["days", "discount_percent"]);
  const currencies = new Map<string, Tier[]>();
  for (const [currency, tiers] of Object.entries(given["currencies"] as Fields)) {
    currencies.set(currency, readTiers(currency, tiers as unknown[]));
  }
  new Intl.DateTimeFormat("en", { timeZone: given["zone"] as string }); // throws for no zone
  return {
    zone: given["zone"] as string,
    weekend: {
      days: weekend["days"] as string[],
      discountE4: percentE4(weekend["discount_percent"]),
    },
    freeProducts: given["free_products"] as string[],
    currencies,
  };
}

function readTiers(currency: string, documents: unknown[]): Tier[] {
  const minor = (amount: unknown) => readMoney({ amount, currency }).minor;
  const tiers = documents.map((document): Tier => {
    const tier = object(document, [], ["up_to", "flat", "percent", "minimum", "maximum"]);
    const optional = (name: string) => (name in tier ? minor(tier[name]) : undefined);
    return {
      upTo: optional("up_to"),
      flat: optional("flat") ?? 0n,
      percentE4: percentE4(tier["percent"] ?? "0"),
      minimum: optional("minimum") ?? 0n,
      maximum: optional("maximum"),
    };
  });
  if (tiers.length === 0) throw new Error(`${currency}: there is no tier`);
  let before = 0n;
  tiers.forEach((tier, n) => {
    const last = n === tiers.length - 1;
    if (last !== (tier.upTo === undefined)) throw new Error(`${currency}: only the last is open`);
    if (!last && tier.upTo! <= before) throw new Error(`${currency}: tiers must ascend`);
    if (tier.flat < 0n || tier.minimum < 0n) throw new Error(`${currency}: a price is negative`);
    if (tier.maximum !== undefined && tier.maximum < tier.minimum) {
      throw new Error(`${currency}: the maximum is below the minimum`);
    }
    before = tier.upTo ?? before;
  });
  return tiers;
}

function percentE4(value: unknown): bigint {
  const match = typeof value === "string" ? PERCENT.exec(value) : null;
  if (match === null) throw new Error(`${value} is no percentage such as "0.25"`);
  const found = BigInt(match[1]! + (match[2] ?? "").padEnd(4, "0"));
  if (found > 100n * 10_000n) throw new Error(`${value} is more than everything`);
  return found;
}

export const TARIFF = readTariff(
  JSON.parse(readFileSync(new URL("../../tariff.json", import.meta.url), "utf8")),
);
