/** Reads values of an item one by one; whatever is not as the contract says is refused. */

import { invalid } from "./problem.js";

export type Fields = Record<string, unknown>;

/** An object with these members: all of `needed`, at most also `optional`. */
export function object(value: unknown, needed: string[], optional: string[] = []): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw invalid("an object is expected");
  }
  for (const name of needed) {
    if (!Object.hasOwn(value, name)) throw invalid(`the member ${name} is missing`);
  }
  for (const name of Object.keys(value)) {
    if (!needed.includes(name) && !optional.includes(name)) throw invalid("a member is not known");
  }
  return value as Fields;
}

/** A string of so many characters. */
export function text(value: unknown, name: string, least: number, most: number): string {
  if (typeof value !== "string") throw invalid(`${name} must be a string`);
  const length = [...value].length; // characters, not UTF-16 units
  if (length < least || length > most || /[\0\ud800-\udfff]/u.test(value)) {
    throw invalid(`${name} must have ${least} to ${most} characters`);
  }
  return value;
}

/** One of these strings. */
export function oneOf<T extends string>(value: unknown, name: string, known: readonly T[]): T {
  if (!known.includes(value as T)) throw invalid(`${name} must be one of ${known.join(", ")}`);
  return value as T;
}

const MOMENT =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(:\d\d(?:\.\d{1,12})?)?(Z|z|[+-]\d\d:?\d\d)$/;

/** A moment with its zone (RFC 3339). */
export function moment(value: unknown, name: string): Date {
  const match = typeof value === "string" ? MOMENT.exec(value) : null;
  if (match === null) throw invalid(`${name} must be a moment such as 2026-03-01T12:00:00Z`);
  const [, year, month, day, hour, minute, second = ":00", zone = "Z"] = match;
  const offset = zone.toUpperCase().replace(/^([+-]\d\d)(\d\d)$/, "$1:$2");
  const at = new Date(`${year}-${month}-${day}T${hour}:${minute}${second.slice(0, 7)}${offset}`);
  const days = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  if (Number.isNaN(at.getTime()) || Number(day) > days || Number(year) < 1) {
    throw invalid(`${name} is no moment of the calendar`);
  }
  return at;
}
