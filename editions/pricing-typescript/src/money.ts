/** Money as whole minor units: never a float. On the wire a decimal string and a currency. */

import { invalid } from "./problem.js";
import { object } from "./reading.js";

export interface Money {
  minor: bigint;
  currency: string;
}

const TWO =
  "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF " +
  "CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD " +
  "HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA " +
  "MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN " +
  "QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP " +
  "TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG";
const NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF";
const THREE = "BHD IQD JOD KWD LYD OMR TND";

/** Currencies and the number of decimals of their minor unit. */
export const DECIMALS = new Map<string, number>([
  ...TWO.split(" ").map((code) => [code, 2] as const),
  ...NONE.split(" ").map((code) => [code, 0] as const),
  ...THREE.split(" ").map((code) => [code, 3] as const),
]);

const MOST = 10n ** 15n;
const AMOUNT = /^(-?)(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,3}))?$/;

/** Reads `{"amount": "12.50", "currency": "EUR"}`. */
export function readMoney(value: unknown): Money {
  const { amount, currency } = object(value, ["amount", "currency"]);
  const decimals = typeof currency === "string" ? DECIMALS.get(currency) : undefined;
  if (decimals === undefined) throw invalid("the currency is not known");
  const match = typeof amount === "string" ? AMOUNT.exec(amount) : null;
  if (match === null) throw invalid('an amount is a decimal string such as "12.50"');
  const [, sign, whole, fraction = ""] = match;
  if (fraction.length > decimals) throw invalid(`the currency has ${decimals} decimals`);
  const minor = BigInt(whole! + fraction.padEnd(decimals, "0"));
  if (minor > MOST || (sign && minor === 0n)) throw invalid("the amount is out of range");
  return { minor: sign ? -minor : minor, currency: currency as string };
}

/** The decimal string of the wire, with all decimals of the currency. */
export function decimal({ minor, currency }: Money): string {
  const decimals = DECIMALS.get(currency)!;
  const digits = (minor < 0n ? -minor : minor).toString().padStart(decimals + 1, "0");
  const cut = digits.length - decimals;
  const sign = minor < 0n ? "-" : "";
  return sign + digits.slice(0, cut) + (decimals > 0 ? `.${digits.slice(cut)}` : "");
}

/** So many ten-thousandths of a percent of an amount, half up to the minor unit. */
export function percentOf(minor: bigint, percentE4: bigint): bigint {
  const whole = 100n * 10_000n;
  return (2n * minor * percentE4 + whole) / (2n * whole);
}
