// Node's fetch: fetch.mjs BASE KEY
import assert from "node:assert/strict";

const [base, key] = process.argv.slice(2);
const headers = { authorization: `Bearer ${key}` };
const call = (target, more = {}) => fetch(base + target, { headers, signal: AbortSignal.timeout(30_000), ...more });

const got = await call("/v2/employees?a=1&b=%20");
assert.equal(got.status, 200);
assert.deepEqual(await got.json(), { method: "GET", target: "/v2/employees?a=1&b=%20", size: 0 });

const posted = await call("/v1/vendors%3Asearch", { method: "POST", body: "x".repeat(100_000) });
assert.deepEqual(await posted.json(), { method: "POST", target: "/v1/vendors:search", size: 100_000 });

const stream = new ReadableStream({
  start(controller) {
    controller.enqueue(new Uint8Array(70_000));
    controller.enqueue(new Uint8Array(70_000));
    controller.close();
  },
});
const streamed = await call("/v1/vendors:search", { method: "POST", body: stream, duplex: "half" });
assert.equal((await streamed.json()).size, 140_000);

const refused = await call("/v9/nothing");
assert.equal(refused.status, 403);
assert.equal((await refused.json()).code, "route-denied");
assert.equal((await call("/v2/employees/404")).status, 404);

const numbers = [...Array(40).keys()];
const answers = await Promise.all(numbers.map(async (n) => (await call(`/v2/employees?n=${n}`)).json()));
assert.deepEqual(answers.map((answer) => answer.target), numbers.map((n) => `/v2/employees?n=${n}`));
console.log("ok");
