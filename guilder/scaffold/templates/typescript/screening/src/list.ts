/** The list and how names are compared: the same words in any order, whatever their accents. */

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export interface Entry {
  id: string;
  kind: "person" | "organisation";
  name: string;
  birth_date?: string;
}

interface List {
  list: string;
  as_of: string;
  entries: Entry[];
}

const DEFAULT = fileURLToPath(new URL("../../lists/own.json", import.meta.url));

/** Read at the start. A list is data and no part of the digest; `basis` says which one it was. */
export const LIST: List = JSON.parse(readFileSync(process.env["LIST"] || DEFAULT, "utf8"));

export const BASIS = `${LIST.list} of ${LIST.as_of}, ${LIST.entries.length} entries`;

/** The words of a name in alphabetical order, without accents, case and punctuation. */
export function words(name: string): string {
  const plain = name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  return (plain.match(/[\p{L}\p{N}]+/gu) ?? []).sort().join(" ");
}

const BY_WORDS = new Map<string, Entry[]>();
for (const entry of LIST.entries) {
  const key = words(entry.name);
  BY_WORDS.set(key, [...(BY_WORDS.get(key) ?? []), entry]);
}

/** Entries of this kind and name; a known year of birth that differs clears. */
export function lookUp(kind: string, name: string, birthDate: string | undefined): Entry[] {
  return (BY_WORDS.get(words(name)) ?? []).filter((entry) => {
    const known = entry.birth_date !== undefined && birthDate !== undefined;
    const other = known && entry.birth_date!.slice(0, 4) !== birthDate!.slice(0, 4);
    return entry.kind === kind && !other;
  });
}
