/** Delivers messages by mail, each once. This is the file to change. */

import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { carrier, undeliverable } from "./mail.js";
import { attempt, invalid, Problem, type Result, unavailable } from "./problem.js";
import { type Fields, object, oneOf, text } from "./reading.js";
import type { Batch } from "./server.js";
import { type Delivered, Store } from "./store.js";

export const PATH = "/notifications/v1/deliveries";

/** What the suite may test and this edition does not offer. */
export const DISCLAIMS: string[] = ["webhook"];

const DATA = process.env["DATA"] || fileURLToPath(new URL("../../data", import.meta.url));
const FROM = process.env["MAIL_FROM"] || "noreply@bank.example";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const TOPIC = /^[a-z-]{1,40}\.[a-z0-9-]{1,40}$/;
const ADDRESS = /^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$/;
const MEMBERS = ["id", "channel", "to", "topic", "order", "subject", "text"];

const store = new Store(`${DATA}/delivered.jsonl`);
const send = carrier(process.env["SMTP_URL"] || undefined, `${DATA}/outbox`);
let last: Promise<unknown> = Promise.resolve();

/** One message after the other, so that a repeat never overtakes its first, and order is kept. */
export function answerBatch({ tenant, items, deadline }: Batch): Promise<Result[]> {
  const mine = last.then(async () => {
    const results: Result[] = new Array(items.length);
    const id = (n: number) => String((items[n] as Fields | null)?.["id"] ?? "").toLowerCase();
    const byId = [...items.keys()].sort((a, b) => (id(a) < id(b) ? -1 : id(a) > id(b) ? 1 : 0));
    for (const n of byId) results[n] = await attempt(() => deliver(tenant, items[n], deadline));
    return results;
  });
  last = mine.catch(() => undefined);
  return mine;
}

async function deliver(tenant: number, item: unknown, deadline: number): Promise<Delivered> {
  const given = object(item, MEMBERS);
  const id = text(given["id"], "id", 36, 36).toLowerCase();
  if (!UUID.test(id)) throw invalid("id must be a UUID");
  const channel = oneOf(given["channel"], "channel", ["email", "webhook"]);
  const to = text(given["to"], "to", 3, 320);
  const topic = text(given["topic"], "topic", 3, 81);
  if (!TOPIC.test(topic)) throw invalid("topic must be such as payment.booked");
  const order = text(given["order"], "order", 1, 80);
  const subject = text(given["subject"], "subject", 3, 200);
  const body = text(given["text"], "text", 3, 2_000);

  const message = JSON.stringify([channel, to, topic, order, subject, body]);
  const hash = createHash("sha256").update(message).digest("hex");
  const before = store.find(tenant, id);
  if (before !== undefined) {
    if (before.hash !== hash) throw differs();
    return { id, at: before.at, reference: before.reference };
  }
  if (channel !== "email") throw disclaimed();
  if (!ADDRESS.test(to)) throw undeliverable("this is no address for mail");
  if (Date.now() >= deadline) throw unavailable("there is no time left");
  const reference = `<${id}.${tenant}@${FROM.split("@")[1]}>`;
  await send({ from: FROM, to, messageId: reference, subject, text: body }, deadline);
  const delivered = { id, at: new Date().toISOString(), reference };
  store.add({ ...delivered, tenant, hash });
  return delivered;
}

function disclaimed(): Problem {
  const title = "This edition does not deliver over this channel";
  const fix = "Nothing: the platform delivers the message itself.";
  return new Problem("channel-disclaimed", 422, title, "this edition delivers mail alone", fix);
}

function differs(): Problem {
  const fix = "Use a new UUIDv7 for a new message; one that was delivered never changes.";
  return new Problem("message-differs", 409, "Another message carries this id", "it differs", fix);
}
