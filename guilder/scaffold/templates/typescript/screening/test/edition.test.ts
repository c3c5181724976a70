import assert from "node:assert/strict";
import { test } from "node:test";
import { check } from "../src/edition.js";

const nobody = { kind: "person", name: "Ada Lovelace", country: "GB", birth_date: null };
const listed = { kind: "person", name: "Zebulon Quillfeather Varnhagen" };
const at = "2026-03-02T12:00:00Z";

test("who is on no list is clear", () => {
  const checked = check({ payer: nobody, payee: nobody, at });
  assert.equal(checked.verdict, "clear");
  assert.deepEqual(checked.hits, []);
});

test("who is on the list is a hit on either side, in any order of words, with any accents", () => {
  for (const name of ["Zebulon Quillfeather Varnhagen", "VARNHAGEN, Zébulon Quillfeather"]) {
    for (const side of ["payer", "payee"]) {
      const checked = check({ payer: nobody, payee: nobody, at, [side]: { ...listed, name } });
      assert.deepEqual(checked.hits.map((hit) => [hit.side, hit.entry]), [[side, "S-1"]]);
    }
  }
});

test("another kind and another year of birth clear", () => {
  const verdict = (more: object) =>
    check({ payer: { ...listed, ...more }, payee: nobody, at }).verdict;
  assert.equal(verdict({ birth_date: "1951-07-23" }), "hit");
  assert.equal(verdict({ birth_date: "1990-07-23" }), "clear");
  assert.equal(verdict({ kind: "organisation" }), "clear");
});

test("what is not as the contract says is refused", () => {
  const wrong = [{ kind: "robot" }, { name: "" }, { country: "gb" }, { birth_date: "1951-02-30" }];
  for (const more of wrong) {
    const item = { payer: { ...listed, ...more }, payee: nobody, at };
    assert.throws(() => check(item), { code: "invalid-request" });
  }
  assert.throws(() => check({ payer: nobody, payee: nobody }), { code: "invalid-request" });
});
