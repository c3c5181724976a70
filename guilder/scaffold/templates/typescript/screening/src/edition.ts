/** Whether a list may mean the payer or the payee. This is the file to change. */

import { BASIS, LIST, lookUp } from "./list.js";
import { attempt, invalid, type Result } from "./problem.js";
import { moment, object, oneOf, text } from "./reading.js";
import type { Batch } from "./server.js";

export const PATH = "/screening/v1/checks";

/** What the suite may test and this edition does not offer. */
export const DISCLAIMS: string[] = ["fuzzy-names"];

const MOST_HITS = 50;

export interface Hit {
  side: "payer" | "payee";
  list: string;
  entry: string;
  name: string;
  score: number;
  why: string;
}

export interface Checked {
  verdict: "clear" | "hit";
  hits: Hit[];
  basis: string;
}

export function answerBatch({ items }: Batch): Promise<Result[]> {
  return Promise.all(items.map((item) => attempt(() => check(item))));
}

/** Pure: the same question always gets the same answer while the list is the same. */
export function check(item: unknown): Checked {
  const asked = object(item, ["payer", "payee", "at"]);
  moment(asked["at"], "at");
  const hits = [...sideHits("payer", asked["payer"]), ...sideHits("payee", asked["payee"])];
  const most = hits.slice(0, MOST_HITS);
  return { verdict: most.length > 0 ? "hit" : "clear", hits: most, basis: BASIS };
}

function sideHits(side: "payer" | "payee", value: unknown): Hit[] {
  const given = object(value, ["kind", "name"], ["country", "birth_date"]);
  const kind = oneOf(given["kind"], "kind", ["person", "organisation"]);
  const name = text(given["name"], "name", 1, 140);
  const country = given["country"] ?? null;
  if (country !== null && !(typeof country === "string" && /^[A-Z]{2}$/.test(country))) {
    throw invalid("country must be two capital letters");
  }
  const birthDate = given["birth_date"] ?? undefined;
  if (birthDate !== undefined) {
    if (typeof birthDate !== "string" || !/^\d{4}-\d\d-\d\d$/.test(birthDate)) {
      throw invalid("birth_date must be a date such as 1951-07-23");
    }
    moment(`${birthDate}T00:00:00Z`, "birth_date");
  }
  return lookUp(kind, name, birthDate).map((entry) => ({
    side,
    list: LIST.list,
    entry: entry.id,
    name: entry.name,
    score: 100,
    why: `the name has the words of the ${kind} on the list, in any order`,
  }));
}
