// Signs in, creates, lists and moves a delivery with the types that openapi-typescript generated.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./generated.js";

const { DELIVERY_URL: baseUrl = "", DELIVERY_PASSWORD: password = "" } = process.env;
const client = createClient<paths>({ baseUrl });

function ok<T>(answer: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (answer.data === undefined) throw new Error(`${answer.error?.code}: ${answer.error?.detail}`);
  return answer.data;
}

const tokens = ok(await client.POST("/api/auth/login", { body: { email: "admin@example.com", password } }));
client.use({
  onRequest({ request }) {
    request.headers.set("Authorization", `Bearer ${tokens.access_token}`);
  },
});
const me = ok(await client.GET("/api/auth/me"));

const reference = `typescript-${crypto.randomUUID()}`;
const create = () =>
  client.POST("/api/deliveries", {
    params: { header: { "Idempotency-Key": reference } },
    body: {
      item_name: "Blue bicycle",
      recipient: { name: "Grace Doorstep", email: "grace@home.example" },
      destination: { line1: "12 Harbour Street", city: "Bristol", country: "GB" },
      reference,
    },
  });
const made = ok(await create());
assert.deepEqual(ok(await create()), made);

const page = ok(await client.GET("/api/deliveries", { params: { query: { reference, status: ["pending"] } } }));
assert.deepEqual(page.items.map((one) => [one.id, one.owner_id]), [[made.id, me.id]]);

const path = { delivery_id: made.id };
const header = { "If-Match": `"${made.version}"` };
ok(await client.PATCH("/api/deliveries/{delivery_id}", { params: { path, header }, body: { tags: ["cold"] } }));
const moves = "/api/deliveries/{delivery_id}/transitions";
const moved = ok(await client.POST(moves, { params: { path }, body: { to: "picked_up" } }));
assert.deepEqual([moved.status, moved.tags, moved.version], ["picked_up", ["cold"], 3]);
const history = ok(await client.GET("/api/deliveries/{delivery_id}/events", { params: { path } }));
assert.equal(history.items.length, 3);

const refused = await client.POST(moves, { params: { path }, body: { to: "pending" } });
assert.equal(refused.response.status, 409);
assert.equal(refused.error?.code, "illegal_move");
